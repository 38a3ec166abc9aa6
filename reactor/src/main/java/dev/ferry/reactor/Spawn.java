package dev.ferry.reactor;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Child processes that inherit chosen descriptors, which {@link ProcessBuilder} cannot give them. The child finds the
 * descriptors from {@link Descriptors#FIRST_INHERITED} on, in order, and its own number in {@code LISTEN_PID}; standard
 * input, output and error are those of this process; nothing else is open. It is in a process group of its own, so that
 * Ctrl-C reaches its parent alone.
 *
 * <p><b>Thread.</b> Any; {@link #await} blocks. A child that asks to {@linkplain #endWithParent end with its parent}
 * ends with the <em>thread</em> that started it: start children from a thread that lives as long as they may.
 */
public final class Spawn {
    public static final int SIGHUP = 1;
    public static final int SIGKILL = 9;
    public static final int SIGTERM = 15;

    /** More than posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t take on any Linux. */
    private static final int OPAQUE_BYTES = 1024;

    private static final short SET_PROCESS_GROUP = 2;
    private static final short SET_SIGNAL_MASK = 8;
    private static final short FLAGS = SET_PROCESS_GROUP | SET_SIGNAL_MASK;
    private static final int PR_SET_PDEATHSIG = 1;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final MethodHandle SPAWN = call(
            "posix_spawn",
            ValueLayout.ADDRESS,
            ValueLayout.ADDRESS,
            ValueLayout.ADDRESS,
            ValueLayout.ADDRESS,
            ValueLayout.ADDRESS,
            ValueLayout.ADDRESS);
    private static final MethodHandle ACTIONS = call("posix_spawn_file_actions_init", ValueLayout.ADDRESS);
    private static final MethodHandle ACTIONS_END = call("posix_spawn_file_actions_destroy", ValueLayout.ADDRESS);
    private static final MethodHandle ADD_DUP =
            call("posix_spawn_file_actions_adddup2", ValueLayout.ADDRESS, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT);
    private static final MethodHandle ADD_CLOSE_FROM =
            call("posix_spawn_file_actions_addclosefrom_np", ValueLayout.ADDRESS, ValueLayout.JAVA_INT);
    private static final MethodHandle ATTRIBUTES = call("posix_spawnattr_init", ValueLayout.ADDRESS);
    private static final MethodHandle ATTRIBUTES_END = call("posix_spawnattr_destroy", ValueLayout.ADDRESS);
    private static final MethodHandle SET_FLAGS =
            call("posix_spawnattr_setflags", ValueLayout.ADDRESS, ValueLayout.JAVA_SHORT);
    private static final MethodHandle SET_MASK =
            call("posix_spawnattr_setsigmask", ValueLayout.ADDRESS, ValueLayout.ADDRESS);
    private static final MethodHandle WAIT =
            call("waitpid", ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT);
    private static final MethodHandle KILL = call("kill", ValueLayout.JAVA_INT, ValueLayout.JAVA_INT);
    private static final MethodHandle PRCTL = LINKER.downcallHandle(
            LINKER.defaultLookup().findOrThrow("prctl"),
            FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG),
            Linker.Option.firstVariadicArg(1));

    private Spawn() {}

    /**
     * How a child ended.
     *
     * @param status its exit status, or 128 and the number of the signal that ended it
     * @param signalled true if a signal ended it
     */
    public record Exit(int status, boolean signalled) {}

    /**
     * Starts a program.
     *
     * @param command the program, by its path, and its arguments
     * @param environment all of the child's environment but {@code LISTEN_PID} and {@code LISTEN_FDS}
     * @param descriptors what the child inherits; numbers above {@code FIRST_INHERITED + descriptors.size()}
     * @return the child's process number
     */
    public static int start(List<String> command, Map<String, String> environment, List<Integer> descriptors)
            throws IOException {
        // A process's own number is known to it alone: a shell writes it down and becomes the program.
        List<String> arguments = new ArrayList<>(List.of("sh", "-c", "LISTEN_PID=$$ exec \"$@\"", "sh"));
        arguments.addAll(command);
        List<String> variables = new ArrayList<>();
        environment.forEach((name, value) -> {
            if (!name.startsWith("LISTEN_") || name.equals("LISTEN_FDNAMES")) {
                variables.add(name + "=" + value);
            }
        });
        variables.add("LISTEN_FDS=" + descriptors.size());
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment actions = arena.allocate(OPAQUE_BYTES, 16);
            MemorySegment attributes = arena.allocate(OPAQUE_BYTES, 16);
            MemorySegment emptyMask = arena.allocate(OPAQUE_BYTES, 16);
            MemorySegment pid = arena.allocate(ValueLayout.JAVA_INT);
            checked("posix_spawn_file_actions_init", (int) ACTIONS.invokeExact(actions));
            checked("posix_spawnattr_init", (int) ATTRIBUTES.invokeExact(attributes));
            try {
                int number = Descriptors.FIRST_INHERITED;
                for (int descriptor : descriptors) {
                    checked("adddup2", (int) ADD_DUP.invokeExact(actions, descriptor, number++));
                }
                checked("addclosefrom", (int) ADD_CLOSE_FROM.invokeExact(actions, number));
                checked("setflags", (int) SET_FLAGS.invokeExact(attributes, FLAGS));
                checked("setsigmask", (int) SET_MASK.invokeExact(attributes, emptyMask));
                MemorySegment program = arena.allocateFrom("/bin/sh");
                MemorySegment argv = strings(arena, arguments);
                MemorySegment envp = strings(arena, variables);
                checked("posix_spawn of " + command.getFirst(), (int)
                        SPAWN.invokeExact(pid, program, actions, attributes, argv, envp));
            } finally {
                int ignored = (int) ACTIONS_END.invokeExact(actions);
                ignored = (int) ATTRIBUTES_END.invokeExact(attributes);
            }
            return pid.get(ValueLayout.JAVA_INT, 0);
        } catch (IOException | RuntimeException | Error failed) {
            throw failed;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    /** Waits until a child has ended. Once for each child. */
    public static Exit await(int pid) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment status = arena.allocate(ValueLayout.JAVA_INT);
            int ended;
            do {
                // Interrupted by a signal it gives -1 with the child still there, as kill(pid, 0) shows.
                ended = (int) WAIT.invokeExact(pid, status, 0);
            } while (ended < 0 && (int) KILL.invokeExact(pid, 0) == 0);
            if (ended < 0) {
                throw new IOException("waitpid: process " + pid + " is not a child of this one");
            }
            int word = status.get(ValueLayout.JAVA_INT, 0);
            int signal = word & 0x7f;
            return signal == 0 ? new Exit((word >> 8) & 0xff, false) : new Exit(128 + signal, true);
        } catch (IOException | RuntimeException | Error failed) {
            throw failed;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    /**
     * Sends a signal.
     *
     * @return false if there is no such process, or it is not ours
     */
    public static boolean signal(int pid, int signal) {
        try {
            return (int) KILL.invokeExact(pid, signal) == 0;
        } catch (RuntimeException | Error failed) {
            throw failed;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    /** Has the kernel send this process a signal when its parent ends. Belongs to the calling thread: one that stays. */
    public static void endWithParent(int signal) throws IOException {
        try {
            checked("prctl", -(int) PRCTL.invokeExact(PR_SET_PDEATHSIG, (long) signal));
        } catch (IOException | RuntimeException | Error failed) {
            throw failed;
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    private static MemorySegment strings(Arena arena, List<String> values) {
        MemorySegment array = arena.allocate(ValueLayout.ADDRESS, values.size() + 1L);
        for (int i = 0; i < values.size(); i++) {
            array.setAtIndex(ValueLayout.ADDRESS, i, arena.allocateFrom(values.get(i)));
        }
        return array;
    }

    /** These functions give an error number, not -1. */
    private static void checked(String what, int error) throws IOException {
        if (error != 0) {
            throw new IOException(what + ": " + Errno.text(error));
        }
    }

    private static MethodHandle call(String name, MemoryLayout... arguments) {
        return LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow(name), FunctionDescriptor.of(ValueLayout.JAVA_INT, arguments));
    }
}
