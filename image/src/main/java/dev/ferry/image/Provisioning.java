package dev.ferry.image;

import java.util.Locale;
import java.util.Optional;

/** How a disk takes up room in its datastore. */
public enum Provisioning {
    /** Room is taken when something is written, and given back when it is discarded. */
    THIN,
    /** All room is reserved when the disk is made, and stays; nothing is written before the guest writes. */
    LAZY,
    /** All room is reserved and zeroes are written to it when the disk is made, so that no write of the guest pays. */
    EAGER;

    /** As people write it: {@code thin}, {@code lazy}, {@code eager}. */
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    public static Optional<Provisioning> of(String text) {
        for (Provisioning provisioning : values()) {
            if (provisioning.text().equals(text)) {
                return Optional.of(provisioning);
            }
        }
        return Optional.empty();
    }
}
