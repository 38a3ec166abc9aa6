package dev.ferry.image;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;

/** The formats of disks. */
public enum ImageFormat {
    /** Bytes as they are. */
    RAW,
    /** QEMU's, versions 2 and 3. */
    QCOW2,
    /** VMware's. */
    VMDK,
    /** That of Virtual PC, Hyper-V and Xen. */
    VHD,
    /** That of Hyper-V since 2012. */
    VHDX;

    private static final int SECTOR_BYTES = 512;

    /** What QEMU calls VHD, for Virtual PC. */
    private static final String VPC = "vpc";

    /** As people write it, and as the name of a disk's file ends: {@code raw}, {@code qcow2}. */
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** As QEMU writes it, and as it stands in files that QEMU reads. */
    public String qemuText() {
        return this == VHD ? VPC : text();
    }

    /** The file is longer or shorter than the disk, and grows while it is written. */
    public boolean grows() {
        return this != RAW;
    }

    /** What it keeps lies in whole blocks of the file, so that it can go past the page cache. */
    public boolean inWholeBlocks() {
        return this == RAW || this == QCOW2;
    }

    /** What a disk of a size takes in it: all but raw know whole sectors of 512 bytes only, and round up. */
    public long paddedBytes(long sizeBytes) {
        return this == RAW ? sizeBytes : Math.ceilDiv(sizeBytes, SECTOR_BYTES) * SECTOR_BYTES;
    }

    /** The formats in words: {@code raw, qcow2, ...}. */
    public static String list() {
        return Arrays.stream(values()).map(ImageFormat::text).collect(Collectors.joining(", "));
    }

    /** By its name, or by the one that QEMU has for it. */
    public static Optional<ImageFormat> of(String text) {
        for (ImageFormat format : values()) {
            if (format.text().equals(text) || format.qemuText().equals(text)) {
                return Optional.of(format);
            }
        }
        return Optional.empty();
    }
}
