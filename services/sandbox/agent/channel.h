/* The channels of a jail that stays: keep.c says what they are for, channel.c moves their bytes. */
#ifndef SYLA_CHANNEL_H
#define SYLA_CHANNEL_H

#include "agent.h"

#include <poll.h>
#include <sys/resource.h>

enum {
  CHANNELS = 512,
  ACCEPTED_FROM = 256,
  OUTPUTS = 3, /* of a process: standard output, standard error, and its words on fd 3 */
  WORDS = 2,
  WORDS_BYTES = 4096,
  INPUT_BYTES = 65536,
  GRANT_MAX = 1 << 30,
  FRAME_COST = 256, /* of what is granted, for each frame beside its bytes: many small ones cost the host more */
  PIPE_BYTES = 256 * 1024,
};

struct output {
  int fd; /* -1 when there is none or it has ended */
  bool empty; /* read until nothing was left, since the process was reaped */
  uint32_t granted;
};

struct channel {
  /* LEFT: nothing is left of a connection that we named, but the host has yet to close it (keep.c). */
  enum { FREE, PROCESS, CONNECTING, CONNECTION, LISTENER, LEFT } kind;
  bool closed; /* by the host: nobody is to be told of it but of its release */
  bool exited, told;
  bool hushes; /* stops all others until it exits: when it is killed, they go on */
  uint16_t port6; /* while it is connecting: where ::1 is still to be tried, or 0 */
  pid_t pid;
  int status;
  struct rusage used;
  struct output outputs[OUTPUTS];
  int input; /* -1 when there is none or it has ended */
  bool input_ends; /* after what is held of it */
  uint32_t input_from, input_length, input_taken;
  uint32_t words_length; /* of words that wait for what was printed before them */
  uint32_t words_after[WORDS]; /* of each other output, how much of that is still to be sent */
};

/* How many bytes of an output may be sent now. */
static inline uint32_t may_send(const struct output *o) {
  return o->granted > FRAME_COST ? o->granted - FRAME_COST : 0;
}

extern struct channel channels[CHANNELS];
extern unsigned channels_end; /* all in use are below */

uint16_t channel_id(const struct channel *c);
/* The one that a frame names, in use or, when it is to be new, free; another name ends the jail. */
struct channel *channel_named(const struct frame *frame, bool is_new);
void channel_take(struct channel *c, int kind);
static inline bool is_over(const struct channel *c) { return c->kind == FREE || c->kind == LEFT; }
/* To the host, unless it has closed the channel. */
void channel_say(const struct channel *c, enum frame_type type, const struct writer *w);
/* The last of a channel: it did not come to be, or nothing of it is left. */
void channel_refuse(struct channel *c, enum stage stage, int error);
void channel_release(struct channel *c);

void close_fd(int *fd);
bool never_waits(int fd);

/* Sends of an output what may be sent; of words, when nothing is left of what was printed before them. */
void output_forward(struct channel *c, int which);
/* Writes of the input that is held what is taken now. */
void input_pour(struct channel *c);

void on_input(const struct frame *frame);
void on_input_end(const struct frame *frame);
void on_grant(const struct frame *frame, struct reader *r);
void on_close(const struct frame *frame);

/* keep.c, for a run too, which may have listeners and the connections that they take beside its program. */
/* What is waited for: first the caller's, then those that polls_add() adds behind them. */
extern struct pollfd polls[];
enum { POLLS_OWN = 4 };
/* Adds all channels' behind so many; answers how many there are then. */
unsigned polls_add(unsigned count);
/* Does what can be done of those from a place on. */
void polls_serve(unsigned from, unsigned count);
/* Tells the ends that are due. */
void channels_settle(void);
/* Takes a frame about a listener or a connection; false when it is none. */
bool connections_handle(const struct frame *frame);

#endif
