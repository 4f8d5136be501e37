# ---- what is prepared, and the loop that takes commands ----

display <- function(...) for (value in list(...)) show_value(value)

# Where R may not write, what is installed while it runs goes into the user's own folder.
install_packages <- function(pkgs, lib, ...) {
  if (missing(lib)) {
    lib <- .libPaths()[1]
    if (file.access(lib, 2) != 0) {
      lib <- path.expand(strsplit(Sys.getenv("R_LIBS_USER"), ":", fixed = TRUE)[[1]][1])
      dir.create(lib, FALSE, TRUE)
      .libPaths(c(lib, .libPaths()))
    }
  }
  original$install.packages(pkgs, lib, ...)
}

print_files <- function(files, header, title, delete.file) {
  for (file in files) writeLines(gsub("_\b", "", original$readLines(file, warn = FALSE), fixed = TRUE))
  if (delete.file) unlink(files)
}

# Only R itself makes `last.warning`, when it prints one.
make_bindings <- function() {
  nowhere <- file("/dev/null", "w")
  sink(nowhere, type = "message")
  warning("none", call. = FALSE)
  .Internal(printDeferredWarnings())
  sink(type = "message")
  close(nowhere)
  for (name in c(".Last.value", "last.warning")) unlockBinding(name, baseenv())
  assign("last.warning", NULL, baseenv())
}

prepare <- function() {
  replace_function("readline", ask_line, "base")
  replace_function("readLines", read_lines, "base")
  replace_function("scan", scan_input, "base")
  replace_function("quit", quit_cell, "base")
  replace_function("q", quit_cell, "base")
  replace_function("closeAllConnections", close_connections, "base")
  original$install.packages <<- utils::install.packages
  replace_function("install.packages", install_packages, "utils")
  make_bindings()
  attach(list(display = display), name = "cell", warn.conflicts = FALSE)
  options(
    device = open_device, keep.source = TRUE, menu.graphics = FALSE, pager = print_files,
    askpass = function(prompt = "Password: ", ...) ask(prompt, TRUE)
  )
  setHook("before.plot.new", before_plot)
  setHook("before.grid.newpage", before_page)
}

serve <- function() {
  command <- next_command()
  switch(command$do, run = run(command), answer = , nothing = NULL, answer(command))
}

prepare()
say(list(say = "ready"))
# What fails here is not a cell's, and leaves nothing that could go on.
suspendInterrupts(repeat tryCatch(serve(), error = function(e) leave(1)))
