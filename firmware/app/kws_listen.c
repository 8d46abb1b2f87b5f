#include "kws_listen.h"

#include <string.h>

#include "kws_audio.h"
#include "kws_board.h"
#include "kws_clip.h"
#include "kws_core.h"
#include "kws_detector_config.h"
#include "kws_ear.h"
#include "kws_image.h"
#include "kws_protocol.h"
#include "kws_transport.h"

enum { LED_FRAMES = 25, MOST_DIGITS = 10 }; /* the LED shows a word for half a second */

static uint8_t paused, led_on;
static uint32_t host_ticks; /* when the host was last heard */
static uint32_t led_frames; /* the stream's frames when the LED went on */

/* ------------------------------------------------------------------ lines for people */

__attribute__((noinline)) static void put(const char *text) { kws_write(text, strlen(text)); }

/* In decimal, at least `digits` of them. */
__attribute__((noinline)) static void put_number(uint32_t number, int digits) {
    char text[MOST_DIGITS];
    int at = MOST_DIGITS;
    for (; number > 0 || digits > 0; number /= 10, digits--) text[--at] = (char)('0' + number % 10);
    kws_write(text + at, (size_t)(MOST_DIGITS - at));
}

__attribute__((noinline)) static void put_fact(const char *before, uint32_t number, const char *behind) {
    put(before);
    put_number(number, 1);
    put(behind);
}

/* "yes 0.97 at 12340 ms, 0 samples lost, 2104 bytes of stack free" */
__attribute__((noinline)) static void tell(const kws_event *event) {
    put(kws_labels[event->label]);
    put_fact(" ", event->score / KWS_SCORE_ONE, ".");
    put_number(event->score % KWS_SCORE_ONE * 100u / KWS_SCORE_ONE, 2);
    put_fact(" at ", event->time_ms, " ms");
    put_fact(", ", kws_audio_overruns, " samples lost");
    put_fact(", ", KWS_STACK_BYTES - kws_stack_used(), " bytes of stack free\r\n");
}

/* refused: of kws_ear_begin. */
static void tell_start(int refused) {
    put(kws_audio_is_open() ? "listening" : "not listening");
    if (kws_gave_up) put_fact("; gave up waiting at start: bits ", kws_gave_up, "");
    if (kws_self_test_failed) put_fact("; failed self-test: bits ", kws_self_test_failed, "");
    if (refused) put_fact("; refused its constants: error -", (uint32_t)-refused, "");
    put("\r\n");
}

/* ------------------------------------------------------------------ hearing */

static void show(int on) {
    led_on = (uint8_t)on;
    led_frames = kws_ear.frames;
    kws_led(on);
}

__attribute__((noinline)) static void resume(void) {
    paused = 0;
    const int refused = kws_ear_begin();
    if (!kws_gave_up && !refused) kws_audio_open();
    tell_start(refused);
}

void kws_listen_begin(void) {
    if (!kws_gave_up) kws_microphone_start(); /* its clock is the processor's */
    resume();
}

void kws_listen_pause(void) {
    kws_audio_close();
    if (led_on) show(0);
    paused = 1;
    host_ticks = kws_ticks();
}

static int something_came(void) {
    const int16_t *samples;
    return kws_bytes_wait() || kws_audio_peek(&samples) > 0;
}

static void show_events(void) {
    kws_event event;
    while (kws_poll(&kws_ear, &event) > 0) {
        show(1);
        tell(&event);
    }
    if (led_on && kws_ear.frames - led_frames >= LED_FRAMES) show(0);
}

static void hear(void) {
    const int16_t *samples;
    size_t count = kws_audio_peek(&samples);
    if (count > KWS_HOP_LENGTH) count = KWS_HOP_LENGTH;
    if (count == 0) {
        kws_sleep_unless(something_came);
        return;
    }
    const int failed = kws_feed(&kws_ear, samples, count);
    kws_audio_drop(count);
    if (failed) put_fact("not understood: error -", (uint32_t)-failed, "\r\n");
    show_events();
}

void kws_listen(void) {
    if (!paused) hear();
    else if ((int32_t)(kws_ticks() - host_ticks) > (int32_t)(kws_clock_hz() / 1000u * KWS_HOST_GONE_MS)) resume();
    else kws_doze_unless(kws_bytes_wait);
}
