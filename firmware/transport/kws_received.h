/* What a UART's interrupt has received and nobody has taken yet; kws_received.c has kws_take. */
#ifndef KWS_RECEIVED_H
#define KWS_RECEIVED_H

#include <stdint.h>

/* The host sends no more than a header before it is asked for a piece: larger than one, a power of two. */
enum { KWS_RECEIVED_BYTES = 64 };

/* Whether there is room for a byte more. Where there is none, the interrupt is held back until some are taken: an
 * emulator's bytes come as fast as they are taken, and would keep the processor in it for ever. Held back in the NVIC, as
 * QEMU's USART goes on asking for an interrupt that its own registers have turned off. */
int kws_receives(void);

/* By the interrupt, where there is: one more byte. */
void kws_receive(uint8_t byte);

#endif
