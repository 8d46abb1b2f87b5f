/* What a board's own C gives to the app and to its transport. */
#ifndef KWS_BOARD_H
#define KWS_BOARD_H

#include <stdint.h>

/* What the transport's UART is clocked with, set by kws_board_init; STM32 alone. */
extern uint32_t kws_uart_clock_hz;

/* Start the microphone: from then on it fills kws_audio (kws_audio.h) by DMA and interrupt. Only boards that have one. */
void kws_microphone_start(void);

/* Show that something was heard, or no more. */
void kws_led(int on);

#endif
