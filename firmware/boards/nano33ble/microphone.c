/* The Nano's MP34DT05 at nRF52840's PDM (Product Specification, 6.15): clock P0.26, data P0.25, power P0.17. */
#include "kws_audio.h"
#include "kws_board.h"
#include "kws_core.h"

#define REG(address) (*(volatile uint32_t *)(address))
#define PDM(offset) REG(0x4001d000u + (offset))
#define TASKS_START PDM(0x000)
#define EVENTS_STARTED PDM(0x100) /* the buffer of SAMPLE_PTR is in use: the next one may be named */
#define EVENTS_END PDM(0x108)     /* a buffer is full */
#define INTENSET PDM(0x304)
#define ENABLE PDM(0x500)
#define PDMCLKCTRL PDM(0x504)
#define MODE PDM(0x508)
#define GAINL PDM(0x518)
#define RATIO PDM(0x520)
#define PSEL_CLK PDM(0x540)
#define PSEL_DIN PDM(0x544)
#define SAMPLE_PTR PDM(0x560)
#define SAMPLE_MAXCNT PDM(0x564)
#define P0_OUTSET REG(0x50000508u)
#define P0_DIRSET REG(0x50000518u)
#define P0_OUTCLR REG(0x5000050cu)
#define P0_PIN_CNF(pin) REG(0x50000700u + 4u * (pin))

enum { STARTED_INTERRUPT = 1 << 0, END_INTERRUPT = 1 << 2 };
enum { CLOCK_1280_KHZ = 0x0a000000, RATIO_80 = 1 }; /* 1.280 MHz / 80 = 16 kHz exactly */
enum { MONO = 1, LEFT_ON_FALLING_EDGE = 0, GAIN_0_DB = 0x28 };
enum { PIN_INPUT = 0 }; /* the buffer connected: it is not at reset */
enum { CLOCK_PIN = 26, DATA_PIN = 25, POWER_PIN = 17, BLOCK = 160 };

void kws_microphone_interrupt(void);

static int16_t blocks[2][BLOCK];
static uint32_t filling;

void kws_microphone_start(void) {
    P0_OUTCLR = 1u << CLOCK_PIN;
    P0_DIRSET = 1u << POWER_PIN | 1u << CLOCK_PIN;
    P0_OUTSET = 1u << POWER_PIN;
    P0_PIN_CNF(DATA_PIN) = PIN_INPUT;
    PSEL_CLK = CLOCK_PIN;
    PSEL_DIN = DATA_PIN;
    PDMCLKCTRL = CLOCK_1280_KHZ;
    RATIO = RATIO_80;
    MODE = MONO | LEFT_ON_FALLING_EDGE;
    GAINL = GAIN_0_DB;
    SAMPLE_PTR = (uint32_t)(uintptr_t)blocks[0];
    SAMPLE_MAXCNT = BLOCK;
    INTENSET = STARTED_INTERRUPT | END_INTERRUPT;
    ENABLE = 1;
    TASKS_START = 1;
    kws_interrupt_on(KWS_MICROPHONE_INTERRUPT, KWS_PATIENT);
}

void kws_microphone_interrupt(void) {
    if (EVENTS_END) {
        EVENTS_END = 0;
        kws_audio_put(blocks[filling], BLOCK);
        filling ^= 1u;
    }
    if (EVENTS_STARTED) {
        EVENTS_STARTED = 0;
        SAMPLE_PTR = (uint32_t)(uintptr_t)blocks[filling ^ 1u];
    }
}
