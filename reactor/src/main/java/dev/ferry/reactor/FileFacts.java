package dev.ferry.reactor;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What the kernel says of an open file.
 *
 * @param error 0, or an errno below zero, and then nothing else counts
 * @param regular it is a regular file
 * @param blockDevice it is a block device
 * @param sizeBytes its length (0 for block devices)
 * @param allocatedBytes what it takes up in its file system
 * @param directAlignmentBytes unit of O_DIRECT requests; 0: O_DIRECT does not work, or the kernel does not say
 * @param directMemoryAlignmentBytes alignment of memory for O_DIRECT; 0 as above
 * @param fileSystem what kind of file system it lives in, as statfs(2) numbers them
 * @param fileSystemBlockBytes the unit in which that keeps files
 * @param device of the file system
 * @param inMemory it lives in a file system without a disk, where reading never waits
 */
public record FileFacts(
        int error,
        boolean regular,
        boolean blockDevice,
        long sizeBytes,
        long allocatedBytes,
        int directAlignmentBytes,
        int directMemoryAlignmentBytes,
        long fileSystem,
        long fileSystemBlockBytes,
        long device,
        boolean inMemory) {
    public static final long BTRFS = 0x9123683eL;
    public static final long NFS = 0x6969L;
    public static final long SMB = 0xff534d42L;
    public static final long CEPH = 0x00c36400L;
    public static final long FUSE = 0x65735546L;
    private static final long TMPFS = 0x01021994L;
    private static final long RAMFS = 0x858458f6L;

    static FileFacts of(int error, MemorySegment statx, MemorySegment statfs) {
        int mode = Short.toUnsignedInt(statx.get(ValueLayout.JAVA_SHORT, 28));
        int type = mode & 0xf000;
        long fileSystem = statfs.get(ValueLayout.JAVA_LONG, 0);
        return new FileFacts(
                error,
                type == 0x8000,
                type == 0x6000,
                statx.get(ValueLayout.JAVA_LONG, 40),
                statx.get(ValueLayout.JAVA_LONG, 48) * 512,
                statx.get(ValueLayout.JAVA_INT, 156),
                statx.get(ValueLayout.JAVA_INT, 152),
                fileSystem,
                statfs.get(ValueLayout.JAVA_LONG, 8),
                (long) statx.get(ValueLayout.JAVA_INT, 136) << 32 | statx.get(ValueLayout.JAVA_INT, 140),
                fileSystem == TMPFS || fileSystem == RAMFS);
    }
}
