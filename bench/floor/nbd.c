/*
 * A memory disk over NBD with nothing around it: one client at a time, polled without ever sleeping, two system calls for each read, one of them
 * for the answer. No server on sockets can be faster at depth 1; what nbdkit and the kit reach there is to be read beside it.
 *
 *   nbd PORT MIB    serves on 127.0.0.1 until it is killed
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PACKED __attribute__((packed))

enum { OPT_EXPORT_NAME = 1, OPT_ABORT = 2, CMD_WRITE = 1, CMD_DISC = 2, OPTION_MAX = 4096 };

struct greeting { uint64_t magic, option_magic; uint16_t flags; } PACKED;
struct option { uint64_t magic; uint32_t option, length; } PACKED;
struct option_reply { uint64_t magic; uint32_t option, type, length; } PACKED;
struct export { uint64_t size; uint16_t flags; } PACKED;
struct request { uint32_t magic; uint16_t flags, type; uint64_t cookie, offset; uint32_t length; } PACKED;
struct reply { uint32_t magic, error; uint64_t cookie; } PACKED;

static char *disk;
static uint64_t size;

static int get(int fd, void *to, size_t length)
{
	while (length > 0) {
		ssize_t n = recv(fd, to, length, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN)) return -1;
		if (n > 0) {
			to = (char *)to + n;
			length -= n;
		}
	}
	return 0;
}

/* Old clients' way of choosing an export is all that is known; newer options are answered "unknown", and clients fall back. */
static int negotiate(int fd)
{
	struct greeting greeting = { htobe64(0x4e42444d41474943), htobe64(0x49484156454F5054), htobe16(3) };
	uint32_t client_flags;
	struct option option;
	char data[OPTION_MAX];

	if (write(fd, &greeting, sizeof(greeting)) < 0 || get(fd, &client_flags, 4) < 0) return -1;
	for (;;) {
		if (get(fd, &option, sizeof(option)) < 0) return -1;
		uint32_t number = be32toh(option.option), length = be32toh(option.length);
		if (length > OPTION_MAX || get(fd, data, length) < 0 || number == OPT_ABORT) return -1;
		if (number == OPT_EXPORT_NAME) {
			struct export export = { htobe64(size), htobe16(1) };
			return write(fd, &export, sizeof(export)) < 0 ? -1 : 0;
		}
		struct option_reply reply = { htobe64(0x3e889045565a9), option.option, htobe32(0x80000001), 0 };
		if (write(fd, &reply, sizeof(reply)) < 0) return -1;
	}
}

static void serve(int fd)
{
	struct request request;

	while (get(fd, &request, sizeof(request)) == 0) {
		uint32_t length = be32toh(request.length);
		uint64_t offset = be64toh(request.offset);
		uint16_t type = be16toh(request.type);
		struct reply reply = { htobe32(0x67446698), 0, request.cookie };
		if (type == CMD_DISC || offset > size || length > size - offset) return;
		if (type == CMD_WRITE && get(fd, disk + offset, length) < 0) return;
		struct iovec iov[2] = { { &reply, sizeof(reply) }, { disk + offset, type == 0 ? length : 0 } };
		if (writev(fd, iov, 2) < 0) return;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	if (argc != 3) return 2;
	address.sin_port = htons(atoi(argv[1]));
	size = (uint64_t)atoi(argv[2]) << 20;
	disk = malloc(size);
	memset(disk, 1, size);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 8) < 0) return 1;
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (negotiate(fd) == 0) serve(fd);
		close(fd);
	}
}
