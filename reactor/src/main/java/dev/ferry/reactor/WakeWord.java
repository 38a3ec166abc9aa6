package dev.ferry.reactor;

/** The number 1 in native memory, which is what an eventfd takes to wake its reader. */
final class WakeWord {
    static final long ONE = Linux.mapPages(4096);

    static {
        Memory.put(ONE, 1L);
    }

    private WakeWord() {}
}
