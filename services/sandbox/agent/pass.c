/* Descriptors that go with a packet from one of our processes to another. */
#include "zygote.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* One more than a zygote takes: the one to pass the others on to. */
enum { PASSED_MAX = ZYGOTE_FDS_MAX + 1 };

union control {
  char bytes[CMSG_SPACE(sizeof(int) * PASSED_MAX)];
  struct cmsghdr aligned;
};

bool send_fds(int socket, const void *packet, size_t length, const int *fds, size_t count) {
  union control control;
  struct iovec part = {.iov_base = (void *)(uintptr_t)packet, .iov_len = length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  errno = EMFILE;
  if (count > PASSED_MAX) return false;
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(head), fds, sizeof(int) * count);
  }
  return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
}

ssize_t receive_fds(int socket, void *packet, size_t length, int *fds, size_t *count) {
  union control control;
  struct iovec part = {.iov_base = packet, .iov_len = length};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  *count = 0;
  ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (head != NULL && head->cmsg_type == SCM_RIGHTS) {
    *count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(head), *count * sizeof(int));
  }
  return n;
}
