package dev.ferry.image;

import java.util.Locale;
import java.util.Optional;

/** The formats of disks that can be written here. */
public enum ImageFormat {
    /** Bytes as they are. */
    RAW,
    /** QEMU's, versions 2 and 3. */
    QCOW2;

    /** As people write it, and as the name of a disk's file ends: {@code raw}, {@code qcow2}. */
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** The file is longer or shorter than the disk, and grows while it is written. */
    public boolean grows() {
        return this != RAW;
    }

    public static Optional<ImageFormat> of(String text) {
        for (ImageFormat format : values()) {
            if (format.text().equals(text)) {
                return Optional.of(format);
            }
        }
        return Optional.empty();
    }
}
