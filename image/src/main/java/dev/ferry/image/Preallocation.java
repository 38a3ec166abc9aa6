package dev.ferry.image;

import java.util.Locale;
import java.util.Optional;

/** What of the room of an image is there when it is made, by qemu-img's names. */
public enum Preallocation {
    /** Nothing that can wait. */
    OFF(Provisioning.THIN),
    /** All that leads to the data: each cluster has its place, which reads as zeroes and takes up no room yet. */
    METADATA(Provisioning.THIN),
    /** The room of the data too, reserved and not written to; where a file system cannot reserve, it is written. */
    FALLOC(Provisioning.LAZY),
    /** The room of the data too, with zeroes written to it. */
    FULL(Provisioning.EAGER);

    private final Provisioning provisioning;

    Preallocation(Provisioning provisioning) {
        this.provisioning = provisioning;
    }

    /** How the disk takes up its room from then on. */
    public Provisioning provisioning() {
        return provisioning;
    }

    /** The room of the data is there. */
    public boolean ofData() {
        return provisioning != Provisioning.THIN;
    }

    /** As people write it: {@code off}, {@code metadata}, {@code falloc}, {@code full}. */
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    public static Optional<Preallocation> of(String text) {
        for (Preallocation preallocation : values()) {
            if (preallocation.text().equals(text)) {
                return Optional.of(preallocation);
            }
        }
        return Optional.empty();
    }
}
