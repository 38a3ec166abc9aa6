package dev.ferry.cli.vm;

import dev.ferry.testkit.Requires;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A disk that a machine boots from with nothing else: the boot sector of a BIOS, a FAT with a boot loader, Debian's kernel and an
 * initramfs, and an ext4 that is the guest's root ({@code root.sh} is its init). Made without mounting anything.
 *
 * <pre>
 *   0        master boot record: syslinux's code, a table of two partitions
 *   1 MiB    FAT, active: syslinux, its configuration, kernel, initramfs
 *   32 MiB   ext4: the root
 *   96 MiB
 * </pre>
 */
final class BootDisk {
    private static final long MEBI = 1 << 20;
    private static final long BOOT_AT = MEBI;
    private static final long ROOT_AT = 32 * MEBI;
    private static final long SIZE_BYTES = 96 * MEBI;
    private static final int SECTOR_BYTES = 512;
    private static final Path BOOT_CODE = Path.of("/usr/lib/syslinux/mbr/mbr.bin");
    private static final int BOOT_CODE_BYTES = 440;
    private static final int TABLE_AT = 446;
    private static final int FAT16 = 0x0e;
    private static final int LINUX = 0x83;

    private BootDisk() {}

    /** Goes on if the machine has what is needed. */
    static void require() throws IOException {
        GuestImage.require();
        for (String program : new String[] {"syslinux", "mformat", "mcopy"}) {
            Requires.program(program);
        }
        Requires.that(Files.exists(BOOT_CODE), "the boot sector of Debian's syslinux-common");
    }

    /** Makes one, raw, below {@code directory}; nothing has been written by its guest yet. */
    static Path make(Path directory) throws IOException {
        GuestImage image = GuestImage.make(directory, GuestImage.Recipe.BOOTING);
        Path disk = directory.resolve("boot.raw");
        try (RandomAccessFile file = new RandomAccessFile(disk.toFile(), "rw")) {
            file.setLength(SIZE_BYTES);
            file.write(bootSector());
        }
        long sectors = (ROOT_AT - BOOT_AT) / SECTOR_BYTES;
        long hidden = BOOT_AT / SECTOR_BYTES;
        String fat = disk + "@@" + BOOT_AT;
        Stranger.succeeds("mformat", "-i", fat, "-T", sectors, "-h", 16, "-s", 63, "-H", hidden, "::");
        Path settings = Files.writeString(
                directory.resolve("syslinux.cfg"),
                "DEFAULT guest\nLABEL guest\nKERNEL vmlinuz\nINITRD initrd.gz\nAPPEND console=ttyS0 quiet panic=-1\n");
        Stranger.succeeds("mcopy", "-i", fat, settings, "::/");
        Stranger.succeeds("mcopy", "-i", fat, image.kernel(), "::/vmlinuz");
        Stranger.succeeds("mcopy", "-i", fat, image.initramfs(), "::/initrd.gz");
        Stranger.succeeds("syslinux", "--install", "--offset", BOOT_AT, disk);
        String kibibytes = (SIZE_BYTES - ROOT_AT) / 1024 + "k";
        Stranger.succeeds(
                "mke2fs",
                "-q",
                "-t",
                "ext4",
                "-d",
                root(directory),
                "-E",
                "nodiscard,lazy_itable_init=0,lazy_journal_init=0,offset=" + ROOT_AT,
                disk,
                kibibytes);
        return disk;
    }

    private static byte[] bootSector() throws IOException {
        ByteBuffer sector = ByteBuffer.allocate(SECTOR_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        byte[] code = Files.readAllBytes(BOOT_CODE);
        sector.put(code, 0, Math.min(code.length, BOOT_CODE_BYTES));
        sector.position(TABLE_AT);
        partition(sector, true, FAT16, BOOT_AT, ROOT_AT);
        partition(sector, false, LINUX, ROOT_AT, SIZE_BYTES);
        sector.putShort(SECTOR_BYTES - 2, (short) 0xaa55);
        return sector.array();
    }

    /** Its place by cylinders, heads and sectors is left as "too far": everything here counts sectors. */
    private static void partition(ByteBuffer sector, boolean active, int kind, long at, long end) {
        sector.put((byte) (active ? 0x80 : 0)).put(new byte[] {(byte) 0xfe, (byte) 0xff, (byte) 0xff});
        sector.put((byte) kind).put(new byte[] {(byte) 0xfe, (byte) 0xff, (byte) 0xff});
        sector.putInt((int) (at / SECTOR_BYTES)).putInt((int) ((end - at) / SECTOR_BYTES));
    }

    /** What the root holds at first. */
    private static Path root(Path directory) throws IOException {
        Path root = Files.createDirectory(directory.resolve("root"));
        for (String name : new String[] {"bin", "sbin", "lib", "var", "proc", "sys", "dev", "run", "work"}) {
            Files.createDirectory(root.resolve(name));
        }
        GuestImage.copyProgram(GuestImage.BUSYBOX, root.resolve("bin/busybox"));
        GuestImage.copyScript("root.sh", root.resolve("sbin/init"));
        GuestImage.copyScript("load.sh", root.resolve("lib/load.sh"));
        Files.writeString(root.resolve("var/boots"), "0\n");
        return root;
    }

    /** Copies the file system of the root out of a raw disk. */
    static void copyRoot(Path disk, Path to) throws IOException {
        try (FileChannel from = FileChannel.open(disk);
                FileChannel into = FileChannel.open(to, StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW)) {
            long bytes = SIZE_BYTES - ROOT_AT;
            for (long done = 0; done < bytes; ) {
                long now = from.transferTo(ROOT_AT + done, bytes - done, into);
                if (now <= 0) {
                    throw new IOException(disk + " ends before its second partition does");
                }
                done += now;
            }
        }
    }
}
