package dev.ferry.image;

/** A disk that may lie over another one, which shows through where it has nothing of its own. */
public interface Overlay {
    /** How much of it may show through, from the beginning on, in bytes; 0: it lies over nothing. */
    long belowBytes();
}
