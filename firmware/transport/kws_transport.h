/* Bytes to and from the host. One implementation a kind of port. */
#ifndef KWS_TRANSPORT_H
#define KWS_TRANSPORT_H

#include <stddef.h>

/* Called once before main, after the clocks run. */
void kws_transport_init(void);

/* Take up to `count` bytes of those that have come; returns how many. An emulator's pipe waits for the first. */
size_t kws_take(void *bytes, size_t count);

/* Whether kws_take would find something. */
int kws_bytes_wait(void);

/* Hand over exactly `count` bytes. */
void kws_write(const void *bytes, size_t count);

#endif
