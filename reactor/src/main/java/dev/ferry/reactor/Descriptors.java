package dev.ferry.reactor;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Descriptors that go from one process to another: inherited at start, as systemd's socket activation does it
 * (sd_listen_fds(3)), and sent over a unix datagram socket, as its descriptor store does it (sd_pid_notify_with_fds(3)).
 *
 * <p><b>Thread.</b> Any; calls block and are for the control plane. Errors are {@link IOException}s that say what failed.
 * Every descriptor that comes in is close-on-exec.
 */
public final class Descriptors {
    /** The first descriptor that is handed down (SD_LISTEN_FDS_START). */
    public static final int FIRST_INHERITED = 3;

    /** The most descriptors in one message (SCM_MAX_FD). */
    public static final int MESSAGE_MAX = 253;

    private static final int AF_UNIX = 1;
    private static final int SOCK_DGRAM = 2;
    private static final int SOCK_CLOEXEC = 0x80000;
    private static final int SOL_SOCKET = 1;
    private static final int SCM_RIGHTS = 1;
    private static final int MSG_NOSIGNAL = 0x4000;
    private static final int MSG_CMSG_CLOEXEC = 0x40000000;
    private static final int F_SETFD = 2;
    private static final int F_DUPFD_CLOEXEC = 1030;
    private static final int FD_CLOEXEC = 1;
    private static final int OUT_OF_THE_WAY = 200;
    private static final int UNIX_PATH_BYTES = 108;

    /*
     * struct msghdr, 64-bit            struct cmsghdr
     *  0 name      8 namelen (4)        0 len (8)
     * 16 iov      24 iovlen             8 level (4)  12 type (4)
     * 32 control  40 controllen        16 descriptors (4 each)
     * 48 flags (4)
     */
    private static final int HEADER_BYTES = 56;
    private static final int CONTROL_HEADER_BYTES = 16;

    private static final StructLayout CALL_STATE = Linker.Option.captureStateLayout();
    private static final VarHandle ERRNO = CALL_STATE.varHandle(MemoryLayout.PathElement.groupElement("errno"));
    private static final MethodHandle SOCKET =
            call("socket", ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT);
    private static final MethodHandle BIND =
            call("bind", ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT);
    private static final MethodHandle SENDMSG =
            call("sendmsg", ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT);
    private static final MethodHandle RECVMSG =
            call("recvmsg", ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT);
    private static final MethodHandle CLOSE = call("close", ValueLayout.JAVA_INT, ValueLayout.JAVA_INT);
    private static final MethodHandle FCNTL = Linker.nativeLinker()
            .downcallHandle(
                    Linker.nativeLinker().defaultLookup().findOrThrow("fcntl"),
                    FunctionDescriptor.of(
                            ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT),
                    Linker.Option.captureCallState("errno"),
                    Linker.Option.firstVariadicArg(2));

    private Descriptors() {}

    /**
     * A descriptor that this process was started with.
     *
     * @param name what its giver calls it; {@code unknown} if it gave no name
     */
    public record Inherited(String name, int descriptor) {}

    /**
     * What came with a datagram.
     *
     * @param text the datagram
     * @param descriptors what came with it; the receiver closes them
     */
    public record Message(String text, List<Integer> descriptors) {}

    /**
     * What this process was handed at start, by {@code LISTEN_PID}, {@code LISTEN_FDS} and {@code LISTEN_FDNAMES}; all
     * of it is close-on-exec from now on. Empty if the variables are absent or meant for another process.
     */
    public static List<Inherited> inherited(Map<String, String> environment) throws IOException {
        String pid = environment.get("LISTEN_PID");
        String count = environment.get("LISTEN_FDS");
        if (pid == null || count == null) {
            return List.of();
        }
        List<Inherited> found = new ArrayList<>();
        try {
            if (Long.parseLong(pid) != ProcessHandle.current().pid()) {
                return List.of();
            }
            String[] names = environment.getOrDefault("LISTEN_FDNAMES", "").split(":", -1);
            for (int i = 0; i < Integer.parseInt(count); i++) {
                int descriptor = FIRST_INHERITED + i;
                closeOnExec(descriptor);
                String name = i < names.length && !names[i].isEmpty() ? names[i] : "unknown";
                found.add(new Inherited(name, descriptor));
            }
        } catch (NumberFormatException malformed) {
            throw new IOException("LISTEN_PID or LISTEN_FDS is not a number: " + pid + ", " + count, malformed);
        }
        return found;
    }

    /** A unix datagram socket without a name. */
    public static int datagramSocket() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = arena.allocate(CALL_STATE);
            return checked("socket", (int) SOCKET.invokeExact(state, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), state);
        } catch (IOException | RuntimeException | Error failed) {
            throw failed;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    /** A unix datagram socket that receives at a path, which must be free. */
    public static int datagramSocket(String path) throws IOException {
        int socket = datagramSocket();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = arena.allocate(CALL_STATE);
            MemorySegment address = address(arena, path);
            checked("bind " + path, (int) BIND.invokeExact(state, socket, address, (int) address.byteSize()), state);
            return socket;
        } catch (IOException | RuntimeException | Error failed) {
            close(socket);
            throw failed;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    /**
     * Sends a datagram, and descriptors with it.
     *
     * @param path of the receiver; one that starts with {@code @} is in the abstract name space
     */
    public static void send(int socket, String path, String text, List<Integer> descriptors) throws IOException {
        if (descriptors.size() > MESSAGE_MAX) {
            throw new IOException("too many descriptors for one message: " + descriptors.size());
        }
        try (Arena arena = Arena.ofConfined()) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            MemorySegment control = MemorySegment.NULL;
            if (!descriptors.isEmpty()) {
                int used = CONTROL_HEADER_BYTES + 4 * descriptors.size();
                control = arena.allocate((used + 7L) & -8L, 8);
                control.set(ValueLayout.JAVA_LONG, 0, used);
                control.set(ValueLayout.JAVA_INT, 8, SOL_SOCKET);
                control.set(ValueLayout.JAVA_INT, 12, SCM_RIGHTS);
                for (int i = 0; i < descriptors.size(); i++) {
                    control.set(ValueLayout.JAVA_INT, CONTROL_HEADER_BYTES + 4L * i, descriptors.get(i));
                }
            }
            MemorySegment payload = arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
            MemorySegment header = header(arena, address(arena, path), payload, control);
            MemorySegment state = arena.allocate(CALL_STATE);
            checked("sendmsg to " + path, (long) SENDMSG.invokeExact(state, socket, header, MSG_NOSIGNAL), state);
        } catch (IOException | RuntimeException | Error failed) {
            throw failed;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    /** Waits for a datagram of at most {@code lengthMax} bytes and takes it, with what descriptors it carries. */
    public static Message receive(int socket, int lengthMax) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = arena.allocate(CALL_STATE);
            MemorySegment payload = arena.allocate(lengthMax);
            MemorySegment control = arena.allocate(CONTROL_HEADER_BYTES + 4L * MESSAGE_MAX + 4, 8);
            MemorySegment header = header(arena, MemorySegment.NULL, payload, control);
            long received;
            do {
                header.set(ValueLayout.JAVA_LONG, 40, control.byteSize());
                received = (long) RECVMSG.invokeExact(state, socket, header, MSG_CMSG_CLOEXEC);
            } while (received < 0 && (int) ERRNO.get(state, 0L) == Errno.EINTR);
            checked("recvmsg", received, state);
            List<Integer> descriptors = descriptors(control, header.get(ValueLayout.JAVA_LONG, 40));
            byte[] bytes = payload.asSlice(0, received).toArray(ValueLayout.JAVA_BYTE);
            return new Message(new String(bytes, StandardCharsets.UTF_8), descriptors);
        } catch (IOException | RuntimeException | Error failed) {
            throw failed;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static List<Integer> descriptors(MemorySegment control, long length) {
        List<Integer> descriptors = new ArrayList<>();
        long at = 0;
        while (at + CONTROL_HEADER_BYTES <= length) {
            long piece = control.get(ValueLayout.JAVA_LONG, at);
            if (piece < CONTROL_HEADER_BYTES || piece > length - at) {
                break;
            }
            boolean rights = control.get(ValueLayout.JAVA_INT, at + 8) == SOL_SOCKET
                    && control.get(ValueLayout.JAVA_INT, at + 12) == SCM_RIGHTS;
            for (long d = at + CONTROL_HEADER_BYTES; rights && d + 4 <= at + piece; d += 4) {
                descriptors.add(control.get(ValueLayout.JAVA_INT, d));
            }
            at += (piece + 7) & -8L;
        }
        return descriptors;
    }

    /**
     * The same open file under another number, high enough not to be in the way of what a child is to find from {@link
     * #FIRST_INHERITED} on. The number given is closed.
     */
    public static int moveOutOfTheWay(int descriptor) throws IOException {
        int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
        close(descriptor);
        return moved;
    }

    public static void closeOnExec(int descriptor) throws IOException {
        fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    }

    /** Closes a descriptor, whatever becomes of it. */
    public static void close(int descriptor) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = arena.allocate(CALL_STATE);
            int ignored = (int) CLOSE.invokeExact(state, descriptor);
        } catch (RuntimeException | Error failed) {
            throw failed;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static int fcntl(int descriptor, int command, int argument) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = arena.allocate(CALL_STATE);
            int result = (int) FCNTL.invokeExact(state, descriptor, command, argument);
            return checked("fcntl on descriptor " + descriptor, result, state);
        } catch (IOException | RuntimeException | Error failed) {
            throw failed;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static MemorySegment header(Arena arena, MemorySegment name, MemorySegment payload, MemorySegment control) {
        MemorySegment vector = arena.allocate(16, 8);
        vector.set(ValueLayout.JAVA_LONG, 0, payload.address());
        vector.set(ValueLayout.JAVA_LONG, 8, payload.byteSize());
        MemorySegment header = arena.allocate(HEADER_BYTES, 8);
        header.set(ValueLayout.JAVA_LONG, 0, name.address());
        header.set(ValueLayout.JAVA_INT, 8, (int) name.byteSize());
        header.set(ValueLayout.JAVA_LONG, 16, vector.address());
        header.set(ValueLayout.JAVA_LONG, 24, 1);
        header.set(ValueLayout.JAVA_LONG, 32, control.address());
        // What counts is the length up to the last descriptor, not what padding follows it.
        long controlLength = control.byteSize() == 0 ? 0 : control.get(ValueLayout.JAVA_LONG, 0);
        header.set(ValueLayout.JAVA_LONG, 40, controlLength == 0 ? control.byteSize() : (controlLength + 7) & -8L);
        return header;
    }

    private static MemorySegment address(Arena arena, String path) throws IOException {
        byte[] bytes = path.getBytes(StandardCharsets.UTF_8);
        if (bytes.length >= UNIX_PATH_BYTES) {
            throw new IOException("path too long for a unix socket: " + path);
        }
        boolean isAbstract = path.startsWith("@");
        MemorySegment address = arena.allocate(2L + bytes.length + (isAbstract ? 0 : 1), 2);
        address.set(ValueLayout.JAVA_SHORT, 0, (short) AF_UNIX);
        MemorySegment.copy(bytes, 0, address, ValueLayout.JAVA_BYTE, 2, bytes.length);
        if (isAbstract) {
            address.set(ValueLayout.JAVA_BYTE, 2, (byte) 0);
        }
        return address;
    }

    private static long checked(String what, long result, MemorySegment state) throws IOException {
        if (result < 0) {
            throw new IOException(what + ": " + Errno.text((int) ERRNO.get(state, 0L)));
        }
        return result;
    }

    private static int checked(String what, int result, MemorySegment state) throws IOException {
        return (int) checked(what, (long) result, state);
    }

    private static MethodHandle call(String name, MemoryLayout result, MemoryLayout... arguments) {
        return Linker.nativeLinker()
                .downcallHandle(
                        Linker.nativeLinker().defaultLookup().findOrThrow(name),
                        FunctionDescriptor.of(result, arguments),
                        Linker.Option.captureCallState("errno"));
    }
}
