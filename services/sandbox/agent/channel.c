/*
 * Channels: their table, and the bytes that go through them. Each output is sent as far as the host
 * has granted, each input is held as far as its window; what is full waits, and holds up no other.
 */
#include "channel.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct channel channels[CHANNELS];
static uint8_t inputs[CHANNELS][INPUT_BYTES];
static uint8_t words[CHANNELS][WORDS_BYTES];
unsigned channels_end; /* all in use are below */

uint16_t channel_id(const struct channel *c) { return (uint16_t)(c - channels); }

void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

bool never_waits(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

void channel_take(struct channel *c, int kind) {
  memset(c, 0, sizeof *c);
  c->kind = kind;
  c->input = -1;
  for (int i = 0; i < OUTPUTS; i++) c->outputs[i].fd = -1;
  if (channel_id(c) >= channels_end) channels_end = channel_id(c) + 1u;
}

void channel_say(const struct channel *c, enum frame_type type, const struct writer *w) {
  if (!c->closed) out_frame(type, channel_id(c), w);
}

void channel_release(struct channel *c) {
  close_fd(&c->input);
  for (int i = 0; i < OUTPUTS; i++) close_fd(&c->outputs[i].fd);
  c->kind = channel_id(c) < ACCEPTED_FROM || c->closed ? FREE : LEFT;
  out_frame(FRAME_RELEASED, channel_id(c), NULL);
  while (channels_end > 0 && is_over(&channels[channels_end - 1])) channels_end--;
}

void channel_refuse(struct channel *c, enum stage stage, int error) {
  struct writer w = {.length = 0};
  write_u8(&w, (uint8_t)stage);
  write_u32(&w, (uint32_t)error);
  channel_say(c, FRAME_REFUSED, &w);
  channel_release(c);
}

/* The host's choice of a name that is in use would be its mistake, and mix two channels up. */
struct channel *channel_named(const struct frame *frame, bool is_new) {
  errno = EPROTO;
  unsigned end = is_new ? ACCEPTED_FROM : CHANNELS;
  if (frame->process >= end) fail("channel", "no such name");
  struct channel *c = &channels[frame->process];
  if (is_new && c->kind != FREE) fail("channel", "in use");
  return c;
}

/* ---- streams ---- */

static void end_output(struct channel *c, int which) {
  close_fd(&c->outputs[which].fd);
  struct writer w = {.length = 0};
  write_u8(&w, (uint8_t)which);
  channel_say(c, FRAME_OUTPUT_END, &w);
}

/* Nothing may be read: is there anything? An end is told without a grant. */
static void look(struct channel *c, int which) {
  struct output *o = &c->outputs[which];
  struct pollfd p = {.fd = o->fd, .events = POLLIN};
  if (o->fd < 0) return;
  int n = poll(&p, 1, 0);
  if (n == 0) o->empty = c->exited;
  else if (n > 0 && !(p.revents & POLLIN)) end_output(c, which);
}

/* At most so many bytes; nothing when that is none. */
static void plain_forward(struct channel *c, int which, size_t most) {
  struct output *o = &c->outputs[which];
  if (may_send(o) == 0) return look(c, which);
  while (o->fd >= 0 && may_send(o) > 0 && most > 0) {
    size_t room = out_room();
    if (room == 0) return;
    if (room > may_send(o)) room = may_send(o);
    if (room > most) room = most;
    ssize_t n = read(o->fd, out_payload(), room);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      o->empty = c->exited;
      return;
    }
    /* EIO is how a terminal says that the last process has closed it. */
    if (n <= 0) return end_output(c, which);
    o->granted -= (uint32_t)n + FRAME_COST;
    most -= (size_t)n;
    if (which < WORDS && c->words_length > 0) c->words_after[which] -= (uint32_t)n;
    out_commit(FRAME_OUTPUT, (uint8_t)which, channel_id(c), (size_t)n);
    out_flush();
  }
}

static uint32_t held_in(int fd) {
  int n = 0;
  return fd >= 0 && ioctl(fd, FIONREAD, &n) == 0 && n > 0 ? (uint32_t)n : 0;
}

/*
 * Words are about what was printed before them. So they are read first: what was printed before them
 * is in the pipes by then, and they wait until that much has been forwarded. What is printed later
 * waits for them, so that who prints without end holds up no words.
 */
static void words_forward(struct channel *c) {
  struct output *o = &c->outputs[WORDS];
  if (c->words_length == 0) {
    size_t most = may_send(o) < WORDS_BYTES ? may_send(o) : WORDS_BYTES;
    if (most == 0) return look(c, WORDS);
    ssize_t n = o->fd < 0 ? -1 : read(o->fd, words[channel_id(c)], most);
    if (n == 0) end_output(c, WORDS);
    if (n < 0 && o->fd >= 0 && errno == EAGAIN) o->empty = c->exited;
    if (n <= 0) return;
    for (int i = 0; i < WORDS; i++) c->words_after[i] = held_in(c->outputs[i].fd);
    c->words_length = (uint32_t)n;
    o->granted -= (uint32_t)n + FRAME_COST;
  }
  for (int i = 0; i < WORDS; i++) {
    plain_forward(c, i, c->words_after[i]);
    if (c->outputs[i].fd >= 0 && c->words_after[i] > 0) return;
  }
  if (out_room() < c->words_length) return;
  memcpy(out_payload(), words[channel_id(c)], c->words_length);
  out_commit(FRAME_OUTPUT, WORDS, channel_id(c), c->words_length);
  c->words_length = 0;
}

void output_forward(struct channel *c, int which) {
  if (which == WORDS || c->words_length > 0) words_forward(c);
  else plain_forward(c, which, SIZE_MAX);
}

static void end_input(struct channel *c) {
  if (c->kind == CONNECTION && c->input >= 0) shutdown(c->input, SHUT_WR);
  close_fd(&c->input);
  c->input_length = 0;
}

static void tell_taken(struct channel *c, uint32_t least) {
  if (c->input_taken < least || c->input_taken == 0) return;
  struct writer w = {.length = 0};
  write_u32(&w, c->input_taken);
  c->input_taken = 0;
  channel_say(c, FRAME_INPUT_TAKEN, &w);
}

void input_pour(struct channel *c) {
  while (c->input >= 0 && c->input_length > 0) {
    ssize_t n = write(c->input, inputs[channel_id(c)] + c->input_from, c->input_length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) { /* nobody reads it any more: what is held is lost, as it is in a shell's pipe */
      c->input_taken += c->input_length;
      end_input(c);
      channel_say(c, FRAME_INPUT_BROKEN, NULL);
      break;
    }
    c->input_from += (uint32_t)n;
    c->input_length -= (uint32_t)n;
    c->input_taken += (uint32_t)n;
  }
  if (c->input_length == 0) c->input_from = 0;
  if (c->input_length == 0 && c->input_ends) end_input(c);
  tell_taken(c, c->input_length == 0 ? 1 : INPUT_BYTES / 2);
}

void on_input(const struct frame *frame) {
  struct channel *c = channel_named(frame, false);
  if (is_over(c) || c->closed) return; /* it has ended in the meantime */
  if (c->input < 0) {
    c->input_taken += frame->length;
    return tell_taken(c, 1);
  }
  errno = EPROTO;
  if (frame->length > INPUT_BYTES - c->input_length) fail("input", "more than was granted");
  uint8_t *bytes = inputs[channel_id(c)];
  if (c->input_from + c->input_length + frame->length > INPUT_BYTES) {
    memmove(bytes, bytes + c->input_from, c->input_length);
    c->input_from = 0;
  }
  memcpy(bytes + c->input_from + c->input_length, frame->payload, frame->length);
  c->input_length += frame->length;
  input_pour(c);
}

void on_input_end(const struct frame *frame) {
  struct channel *c = channel_named(frame, false);
  if (is_over(c) || c->input < 0) return;
  c->input_ends = true;
  input_pour(c);
}

void on_grant(const struct frame *frame, struct reader *r) {
  struct channel *c = channel_named(frame, false);
  const uint32_t which = read_u32(r), bytes = read_u32(r);
  errno = EPROTO;
  if (which >= OUTPUTS || bytes > GRANT_MAX) fail("grant", "out of range");
  if (is_over(c)) return;
  struct output *o = &c->outputs[which];
  o->granted = o->granted > GRANT_MAX - bytes ? GRANT_MAX : o->granted + bytes;
}

void on_close(const struct frame *frame) {
  struct channel *c = channel_named(frame, false);
  if (c->kind == LEFT) c->kind = FREE;
  if (c->kind == FREE) return;
  c->closed = true;
  end_input(c);
  for (int i = 0; i < OUTPUTS; i++) close_fd(&c->outputs[i].fd);
}
