// Listens with the board's PDM microphone and prints a line for every word, over USB.
#include <PDM.h>

#include <KwsSpotter.h>

enum { MOST_SAMPLES = 256, RATE_HZ = 16000, CHANNELS = 1, HOP_SAMPLES = 320, LED_MS = 500 };
enum { GAIN = 60 };  // of 0 to 80 in half decibels, 40 is none: stated, unmeasured

static int16_t block[MOST_SAMPLES];
static unsigned long ledMs;

// Called from the microphone's interrupt.
static void onAudio() {
    const int bytes = PDM.read(block, sizeof block);
    if (bytes > 0) kws_audio_put(block, bytes / sizeof block[0]);
}

static void stop(const char *why) {
    for (;;) {
        Serial.println(why);
        delay(1000);
    }
}

void setup() {
    Serial.begin(115200);
    pinMode(LED_BUILTIN, OUTPUT);
    if (kws_spotter_begin() != 0) stop("the detector refuses its constants");
    PDM.onReceive(onAudio);
    PDM.setBufferSize(sizeof block);
    PDM.setGain(GAIN);
    if (!PDM.begin(CHANNELS, RATE_HZ)) stop("the microphone does not start");
    kws_audio_open();
    Serial.println("listening");
}

static void tell(const kws_event &event) {
    ledMs = millis();
    digitalWrite(LED_BUILTIN, HIGH);
    Serial.print(kws_labels[event.label]);
    Serial.print(" ");
    Serial.print(event.score / (float)KWS_SCORE_ONE);
    Serial.print(" at ");
    Serial.print(event.time_ms);
    Serial.print(" ms, ");
    Serial.print(kws_audio_overruns);
    Serial.println(" samples lost");
}

void loop() {
    const int16_t *samples;
    kws_event event;
    size_t count = kws_audio_peek(&samples);
    if (count > HOP_SAMPLES) count = HOP_SAMPLES;
    kws_feed(&kws_spotter, samples, count);
    kws_audio_drop(count);
    while (kws_poll(&kws_spotter, &event) > 0) tell(event);
    if (millis() - ledMs > LED_MS) digitalWrite(LED_BUILTIN, LOW);
}
