/* The entry: which of the programs this is; `serve` is the second half of `init`. */
#include "agent.h"
#include "layers.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc >= 2 && strcmp(argv[1], "spawn") == 0) return spawn_main(argc - 2, argv + 2);
  if (argc >= 2 && strcmp(argv[1], "init") == 0) return enter_main(argc - 2, argv + 2);
  if (argc == 2 && strcmp(argv[1], "serve") == 0) return serve_main();
  if (argc >= 2 && strcmp(argv[1], "box") == 0) return box_main(argc - 2, argv + 2);
  if (argc >= 2 && strcmp(argv[1], "zygote") == 0) return zygote_main(argc - 2, argv + 2);
  if (argc >= 2 && strcmp(argv[1], "layers-probe") == 0) return layers_probe_main(argc - 2, argv + 2);
  if (argc >= 2 && strcmp(argv[1], "shed") == 0) return shed_main(argc - 2, argv + 2);
  fprintf(stderr, "usage: syla-agent spawn|init|zygote ...\n");
  return 64;
}
