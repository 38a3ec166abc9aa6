package dev.ferry.bench;

import dev.ferry.reactor.Errno;
import dev.ferry.reactor.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/**
 * A network device of the kernel's whose packets this process reads and writes (linux/if_tun.h). It is gone when its
 * descriptor is closed. Packets come with the header of virtio-net in front, so that the kernel hands over up to 64 KiB of
 * a TCP stream at once, as it does to network cards; the header is passed on to the device at the other end.
 */
final class TunDevice {
    /** The longest packet, with the header in front of it. */
    static final int PACKET_BYTES_MAX = (64 << 10) + HeaderLayout.BYTES;

    private static final long TUNSETIFF = 0x400454caL;
    private static final long TUNSETOFFLOAD = 0x400454d0L;
    private static final int REQUEST_BYTES = 40;
    private static final int FLAGS_AT = 16;
    private static final int IFF_TUN = 0x1;
    private static final int IFF_NO_PI = 0x1000;
    private static final int IFF_VNET_HDR = 0x4000;
    private static final int TUN_F_CSUM = 0x1;
    private static final int TUN_F_TSO4 = 0x2;

    private final String name;
    private final int file;

    /** What stands in front of a packet. */
    static final class HeaderLayout {
        static final int BYTES = 10;

        private HeaderLayout() {}
    }

    /** @param name of at most 15 letters */
    TunDevice(String name) {
        this.name = name;
        file = Linux.open("/dev/net/tun", Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        check("open /dev/net/tun", file);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment request = arena.allocate(REQUEST_BYTES, 8);
            MemorySegment.copy(
                    MemorySegment.ofArray(name.getBytes(StandardCharsets.US_ASCII)), 0, request, 0, name.length());
            request.set(ValueLayout.JAVA_SHORT, FLAGS_AT, (short) (IFF_TUN | IFF_NO_PI | IFF_VNET_HDR));
            check("make a TUN device", Linux.ioctl(file, TUNSETIFF, request.address()));
            check("let it take long packets", Linux.ioctl(file, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4));
        } catch (BenchException failed) {
            int _ = Linux.close(file);
            throw failed;
        }
    }

    private static void check(String what, int result) {
        if (result < 0) {
            throw new BenchException("cannot " + what + ": " + Errno.text(result));
        }
    }

    String name() {
        return name;
    }

    /** Waits for a packet; gives its length, or an errno below zero when the device is gone. */
    int read(long address) {
        return Linux.read(file, address, PACKET_BYTES_MAX);
    }

    /** Hands a packet to the kernel, which drops it if it cannot take it now. */
    int write(long address, int length) {
        return Linux.write(file, address, length);
    }

    /** Nobody reads or writes any more. */
    void close() {
        int _ = Linux.close(file);
    }
}
