/*
 * syla-agent: the small programs that a jail is started with, in one static binary.
 *
 *   spawn    outside: starts jails for the host, each in its cgroups from birth   (spawn.c)
 *   init     inside:  PID 1; closes the last doors, then serves the host on fd 3  (enter.c, run.c)
 *   zygote   between: forks jails, each as complete as one that init opens        (zygote.c)
 *
 * The zygote is also a library that an interpreter loads, whose forks then have it started
 * (python.c). README.md beside this file is the protocol. Everything here is single-threaded, allocates nothing
 * after start, and treats the host's frames as trusted and the program's behaviour as hostile.
 */
#ifndef SYLA_AGENT_H
#define SYLA_AGENT_H

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { CONTROL_FD = 3, ZYGOTE_FD = 4, HEADER_BYTES = 8, PAYLOAD_BYTES_MAX = 65536 };

/* The program's identity inside the jail; which uid outside that is, the host says (--uid). */
enum { PROGRAM_UID = 1000 };

enum frame_type {
  FRAME_SETUP = 1,
  FRAME_FILE_BEGIN = 2,
  FRAME_FILE_DATA = 3,
  FRAME_FILE_END = 4,
  FRAME_STDIN = 5,
  FRAME_EXEC = 6,
  FRAME_KILL = 7,
  FRAME_COLLECT = 8,
  FRAME_COLLECT_TREE = 9,
  FRAME_KEEP = 10,
  FRAME_START = 16,
  FRAME_CONNECT = 17,
  FRAME_LISTEN = 18,
  FRAME_INPUT = 19,
  FRAME_INPUT_END = 20,
  FRAME_SIGNAL = 21,
  FRAME_RESIZE = 22,
  FRAME_GRANT = 23,
  FRAME_CLOSE = 24,

  FRAME_READY = 128,
  FRAME_STARTED = 129,
  FRAME_STDOUT = 130,
  FRAME_STDERR = 131,
  FRAME_EXIT = 132,
  FRAME_ARTIFACT_BEGIN = 133,
  FRAME_ARTIFACT_DATA = 134,
  FRAME_ARTIFACT_END = 135,
  FRAME_ARTIFACT_ERROR = 136,
  FRAME_USAGE = 137,
  FRAME_ERROR = 138,
  FRAME_HELD = 139,
  FRAME_TREE_FILE = 140,
  FRAME_TREE_DATA = 141,
  FRAME_TREE_END = 142,
  FRAME_BEGUN = 144,
  FRAME_REFUSED = 145,
  FRAME_ACCEPTED = 146,
  FRAME_OUTPUT = 147,
  FRAME_OUTPUT_END = 148,
  FRAME_EXITED = 149,
  FRAME_INPUT_TAKEN = 150,
  FRAME_INPUT_BROKEN = 151,
  FRAME_RELEASED = 152,
};

/* Flags of EXEC: the payload goes on in the next EXEC frame (argv and env may exceed 64 KiB); the
   program is run by a fork of the interpreter that this jail is a fork of; is started now, an
   interpreter, but held until it is told its own program; is told it. */
enum { FLAG_MORE = 1, FLAG_FORK = 2, FLAG_HOLD = 4, FLAG_RELEASE = 8 };

struct frame {
  uint8_t type;
  uint8_t flags;
  uint16_t process;
  uint32_t length;
  uint8_t *payload;
};

/* ---- wire.c: reading payloads, queueing frames ---- */

/* A cursor over a payload. After a read past the end `bad` is set and every value is 0 or "". */
struct reader {
  uint8_t *at;
  size_t left;
  bool bad;
};
uint8_t read_u8(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
/* A string is u32 length, bytes, NUL; it is used in place. */
char *read_string(struct reader *r);

/* A small payload being built. */
struct writer {
  uint8_t bytes[1024];
  size_t length;
};
void write_u8(struct writer *w, uint8_t value);
void write_u32(struct writer *w, uint32_t value);
void write_u64(struct writer *w, uint64_t value);
void write_string(struct writer *w, const char *text);

/* Bytes of room for one more frame's payload; 0 when the host is not reading fast enough. */
size_t out_room(void);
size_t out_pending(void);
/* Where the next frame's payload may be put directly, for out_room() bytes. */
uint8_t *out_payload(void);
/* Queues the frame whose payload was put at out_payload(). */
void out_commit(uint8_t type, uint8_t flags, uint16_t process, size_t length);
void out_frame(uint8_t type, uint16_t process, const struct writer *w);
/* Writes what the socket takes now. */
void out_flush(void);
/* Writes everything, waiting for the host; only while no program runs. */
void out_flush_all(void);
/* Reads one whole frame, waiting for it; only before serving begins. */
void in_wait_frame(struct frame *frame);
/* Reads what is there; then in_next() yields the whole frames. */
void in_fill(void);
/* Forgets what is buffered: after a fork the descriptor is another's. */
void wire_reset(void);
bool in_next(struct frame *frame);

/* Says what failed, to the host and on stderr, and ends the jail. */
_Noreturn void fail(const char *stage, const char *message);

/* ---- the rest, one file each ---- */

int spawn_main(int argc, char **argv);

int enter_main(int argc, char **argv);
int serve_main(void);

int zygote_main(int argc, char **argv);
/* Forks jails for as long as the host lives. */
_Noreturn void zygote_serve(void);

/* walls.c */
void isolate_process(int last_fd);
void forbid_core_dumps(void);
void make_proc(void);
void make_devices(void);
void make_terminals(void);
void make_disk(uid_t owner, uint64_t bytes, uint64_t inodes);
/* One that was made outside: mounts for /work, /tmp and /dev/shm. */
void take_disk(const int mounts[3]);
void make_read_only(const char *path, unsigned long flags);
void cover_proc(void);
void write_file(const char *path, const char *text);
void keep_only_sys_admin(uid_t uid);
void enter_user_namespace(uid_t uid);
void become_uid(uid_t uid);
void limit_powers(void);
void drop_powers(void);
void filter_wait(void);
_Noreturn void serve_filtered(void);
unsigned long long number_of(const char *text);

/* files.c: in by FILE frames, out by COLLECT; both below /work, neither through a link. */
void files_open(void);
void file_begin(struct reader *r);
void file_data(const uint8_t *bytes, size_t length);
void file_end(void);
void collect(struct reader *r);
void collect_tree(struct reader *r);
void usage_frame(uint16_t process);
/* errno of the first failed FILE or STDIN since the last call, 0 if none. */
int files_take_error(void);
void files_note_error(int error, const char *what);

/* What a program is started with; the strings lie in the frame's bytes. */
struct program {
  char **argv, **env;
};

/* hold.c: an interpreter that waits for its program with a gate as fd 3 and words as fd 4. */
void hold_make(int for_program[2], int *input);
void hold_started(pid_t pid);
/* Its gate, -1 without one; readable when it waits. */
int hold_gate(void);
void hold_hear(void);
/* Writes to its standard input; false with errno. */
bool hold_input(const uint8_t *bytes, size_t length);
/* Answers the CPU time in us that it has taken by now, which is not its program's. */
uint64_t hold_release(const struct program *program);

/* limits.c: rlimits; 0 leaves one as it is. */
struct limits {
  uint64_t file_bytes, address_bytes;
  uint32_t cpu_seconds, open_files, processes;
};
bool set_limits(const struct limits *q);
void bound_counters(void);
void lift_counted(void);
void lower_counted(void);
void prefer_as_victim(const char *path);

/* start.c */
/* Where a program that did not start failed. */
enum stage { STAGE_NONE, STAGE_FILES, STAGE_STREAMS, STAGE_DIRECTORY, STAGE_LIMITS, STAGE_EXECUTE };
struct start {
  struct limits limits;
  char *directory;
  struct program program;
  bool by_fork; /* of the interpreter, and not executed */
  bool terminal; /* its fd 0 is the terminal of its session */
  int fd_count, fds[5]; /* what it has as fd 0 and so on */
};
struct start_failure {
  enum stage stage;
  int error;
};
/* Takes a frame of a request; true when it was the last, and all of it can be read. */
bool start_collect(const struct frame *frame, struct reader *r);
/* Reads limits, directory, argv and env, in the request's bytes; false when they are not there. */
bool start_read(struct start *s, struct reader *r);
/* The new process; -1 when it did not start, and why. */
pid_t start_process(const struct start *s, struct start_failure *why);
/* What a library that an interpreter has loaded can do: run programs by forks of it (python.c). */
struct interpreter {
  pid_t (*fork)(void);
  /* In the child; does not return to its caller but to the interpreter. */
  void (*enter)(const struct program *program);
};
extern const struct interpreter *interpreter; /* NULL in a jail that is none's fork */

/* run.c: one program at a time. */
_Noreturn void serve(void);
void run_stdin(const uint8_t *bytes, size_t length);
void run_exec(const struct frame *frame);
void run_kill(int signal);

/* keep.c: many processes and connections at a time, in a jail that stays. */
_Noreturn void keep(const sigset_t *open_mask);

/* box.c: what the host asks of the files there. */
int box_main(int argc, char **argv);

#endif
