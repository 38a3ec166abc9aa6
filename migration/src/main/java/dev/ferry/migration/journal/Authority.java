package dev.ferry.migration.journal;

/** Which side of a moving disk is the disk. At each instant it is exactly one, and the journal says which. */
public enum Authority {
    SOURCE,
    TARGET
}
