package dev.ferry.image;

import java.util.Locale;
import java.util.Optional;

/** The formats of disks. */
public enum ImageFormat {
    /** Bytes as they are. */
    RAW(true, false),
    /** QEMU's, versions 2 and 3. */
    QCOW2(true, true),
    /** VMware's. */
    VMDK(true, true),
    /** That of Virtual PC, Hyper-V and Xen. */
    VHD(true, true),
    /** That of Hyper-V since 2012; read only. */
    VHDX(false, false);

    private static final int SECTOR_BYTES = 512;

    private final boolean writable;
    private final boolean grows;

    ImageFormat(boolean writable, boolean grows) {
        this.writable = writable;
        this.grows = grows;
    }

    /** As people write it, and as the name of a disk's file ends: {@code raw}, {@code qcow2}. */
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** Disks can be made in it, and written. */
    public boolean writable() {
        return writable;
    }

    /** The file is longer or shorter than the disk, and grows while it is written. */
    public boolean grows() {
        return grows;
    }

    /** What it keeps lies in whole blocks of the file, so that it can go past the page cache. */
    public boolean inWholeBlocks() {
        return this == RAW || this == QCOW2;
    }

    /** What a disk of a size takes in it: all but raw know whole sectors of 512 bytes only, and round up. */
    public long paddedBytes(long sizeBytes) {
        return this == RAW ? sizeBytes : Math.ceilDiv(sizeBytes, SECTOR_BYTES) * SECTOR_BYTES;
    }

    /** The formats in words, such as {@code raw, qcow2}. */
    public static String list(boolean writableOnly) {
        StringBuilder list = new StringBuilder();
        for (ImageFormat format : values()) {
            if (format.writable || !writableOnly) {
                list.append(list.isEmpty() ? "" : ", ").append(format.text());
            }
        }
        return list.toString();
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
