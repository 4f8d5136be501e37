/*
 * Frames: header {u32 payload length, u8 type, u8 flags, u16 process}, little-endian, then payload.
 *
 * One buffer each way. The outgoing one is bounded: when the host does not read, out_room() becomes
 * 0, the agent stops reading the program's pipes, and the program blocks in its own write. The
 * incoming side is read all the same, so a KILL always gets through.
 */
#include "agent.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Two full pipes (64 KiB each) and the last frames fit, so draining at the end rarely waits. */
enum { OUT_BYTES_MAX = 256 * 1024, IN_BYTES_MAX = HEADER_BYTES + PAYLOAD_BYTES_MAX };

static uint8_t out[OUT_BYTES_MAX];
static size_t out_from, out_to;
static uint8_t in[IN_BYTES_MAX];
static size_t in_from, in_to;

uint8_t read_u8(struct reader *r) {
  if (r->left < 1) {
    r->bad = true;
    return 0;
  }
  r->left--;
  return *r->at++;
}

uint32_t read_u32(struct reader *r) {
  uint32_t value = 0;
  if (r->left < 4) {
    r->bad = true;
    return 0;
  }
  memcpy(&value, r->at, 4); /* x64 and arm64 are little-endian */
  r->at += 4;
  r->left -= 4;
  return value;
}

uint64_t read_u64(struct reader *r) {
  uint64_t low = read_u32(r);
  return low | (uint64_t)read_u32(r) << 32;
}

char *read_string(struct reader *r) {
  static char empty[1];
  uint32_t length = read_u32(r);
  if (r->bad || r->left < (size_t)length + 1 || r->at[length] != 0) {
    r->bad = true;
    return empty;
  }
  char *text = (char *)r->at;
  r->at += (size_t)length + 1;
  r->left -= (size_t)length + 1;
  return text;
}

void write_u8(struct writer *w, uint8_t value) {
  if (w->length + 1 <= sizeof w->bytes) w->bytes[w->length++] = value;
}

void write_u32(struct writer *w, uint32_t value) {
  if (w->length + 4 > sizeof w->bytes) return;
  memcpy(w->bytes + w->length, &value, 4);
  w->length += 4;
}

void write_u64(struct writer *w, uint64_t value) {
  write_u32(w, (uint32_t)value);
  write_u32(w, (uint32_t)(value >> 32));
}

/* Cuts what does not fit: these strings are for people. */
void write_string(struct writer *w, const char *text) {
  size_t length = strlen(text);
  if (w->length + 5 > sizeof w->bytes) return;
  size_t room = sizeof w->bytes - w->length - 5;
  if (length > room) length = room;
  write_u32(w, (uint32_t)length);
  memcpy(w->bytes + w->length, text, length);
  w->bytes[w->length + length] = 0;
  w->length += length + 1;
}

size_t out_pending(void) { return out_to - out_from; }

size_t out_room(void) {
  size_t free_bytes = OUT_BYTES_MAX - out_pending();
  if (free_bytes <= HEADER_BYTES + sizeof(((struct writer *)0)->bytes)) return 0;
  size_t room = free_bytes - HEADER_BYTES;
  return room < PAYLOAD_BYTES_MAX ? room : PAYLOAD_BYTES_MAX;
}

uint8_t *out_payload(void) {
  if (out_from == out_to) out_from = out_to = 0;
  if (OUT_BYTES_MAX - out_to < HEADER_BYTES + PAYLOAD_BYTES_MAX && out_from > 0) {
    memmove(out, out + out_from, out_to - out_from);
    out_to -= out_from;
    out_from = 0;
  }
  return out + out_to + HEADER_BYTES;
}

void out_commit(uint8_t type, uint8_t flags, uint16_t process, size_t length) {
  uint8_t *header = out + out_to;
  uint32_t length32 = (uint32_t)length;
  memcpy(header, &length32, 4);
  header[4] = type;
  header[5] = flags;
  memcpy(header + 6, &process, 2);
  out_to += HEADER_BYTES + length;
}

void out_frame(uint8_t type, uint16_t process, const struct writer *w) {
  size_t length = w == NULL ? 0 : w->length;
  while (OUT_BYTES_MAX - out_pending() < HEADER_BYTES + length) out_flush_all();
  uint8_t *payload = out_payload();
  if (length > 0) memcpy(payload, w->bytes, length);
  out_commit(type, 0, process, length);
}

void out_flush(void) {
  while (out_from < out_to) {
    ssize_t n = write(CONTROL_FD, out + out_from, out_to - out_from);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) _exit(0); /* the host is gone, and with PID 1 everything here goes */
    out_from += (size_t)n;
  }
  out_from = out_to = 0;
}

void out_flush_all(void) {
  for (;;) {
    out_flush();
    if (out_pending() == 0) return;
    struct pollfd control = {.fd = CONTROL_FD, .events = POLLOUT};
    poll(&control, 1, -1);
  }
}

void in_fill(void) {
  if (in_from > 0) {
    memmove(in, in + in_from, in_to - in_from);
    in_to -= in_from;
    in_from = 0;
  }
  ssize_t n = read(CONTROL_FD, in + in_to, IN_BYTES_MAX - in_to);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) _exit(0); /* EOF: the host closed the jail or died */
  in_to += (size_t)n;
}

bool in_next(struct frame *frame) {
  if (in_to - in_from < HEADER_BYTES) return false;
  uint8_t *header = in + in_from;
  memcpy(&frame->length, header, 4);
  if (frame->length > PAYLOAD_BYTES_MAX) fail("frame", "payload is too long");
  if (in_to - in_from < HEADER_BYTES + (size_t)frame->length) return false;
  frame->type = header[4];
  frame->flags = header[5];
  memcpy(&frame->process, header + 6, 2);
  frame->payload = header + HEADER_BYTES;
  in_from += HEADER_BYTES + (size_t)frame->length;
  return true;
}

void wire_reset(void) { out_from = out_to = in_from = in_to = 0; }

void in_wait_frame(struct frame *frame) {
  while (!in_next(frame)) {
    struct pollfd control = {.fd = CONTROL_FD, .events = POLLIN};
    poll(&control, 1, -1);
    in_fill();
  }
}

_Noreturn void fail(const char *stage, const char *message) {
  int error = errno;
  struct writer w = {.length = 0};
  write_u32(&w, (uint32_t)error);
  write_string(&w, stage);
  write_string(&w, message);
  dprintf(2, "syla-agent: %s: %s: %s\n", stage, message, strerror(error));
  out_frame(FRAME_ERROR, 0, &w);
  out_flush_all();
  _exit(121);
}
