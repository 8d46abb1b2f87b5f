/* Bytes to and from the host. One implementation a kind of port; nothing is lost while kws_read waits. */
#ifndef KWS_TRANSPORT_H
#define KWS_TRANSPORT_H

#include <stddef.h>

/* Called once before main, after the clocks run. */
void kws_transport_init(void);

/* Wait for and take exactly `count` bytes. */
void kws_read(void *bytes, size_t count);

/* Hand over exactly `count` bytes. */
void kws_write(const void *bytes, size_t count);

#endif
