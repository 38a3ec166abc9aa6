package dev.ferry.server.client;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;

/**
 * The kernel's table of unix sockets (proc_net(5)): it tells whether anybody holds a socket without knocking at it, and a
 * name that was left behind in the file system is not in it.
 */
final class SocketTable {
    private static final Path TABLE = Path.of("/proc/net/unix");
    /** Num, RefCount, Protocol, Flags, Type, St, Inode; then the path, which may have spaces. */
    private static final int FIELDS = 8;

    private SocketTable() {}

    /** True if one of these is held open by a process; false also where there is no such table. */
    static boolean holdsAny(List<Path> sockets) {
        try {
            String table = new String(Files.readAllBytes(TABLE), StandardCharsets.UTF_8);
            return table.lines()
                    .map(line -> line.split(" +", FIELDS))
                    .filter(fields -> fields.length == FIELDS && fields[FIELDS - 1].startsWith("/"))
                    .anyMatch(fields -> sockets.stream().anyMatch(socket -> same(fields[FIELDS - 1], socket)));
        } catch (IOException unreadable) {
            return false;
        }
    }

    /** Their directory is compared as it is on disk: the daemon may have been told of it by another path. */
    private static boolean same(String held, Path socket) {
        try {
            Path path = Path.of(held);
            Path there = path.getParent();
            Path here = socket.getParent();
            return path.endsWith(socket.getFileName())
                    && there != null
                    && here != null
                    && Files.isSameFile(there, here);
        } catch (IOException | InvalidPathException gone) {
            return false;
        }
    }
}
