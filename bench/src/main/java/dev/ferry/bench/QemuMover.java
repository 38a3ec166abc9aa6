package dev.ferry.bench;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** QEMU's blockdev-mirror in qemu-storage-daemon, with O_DIRECT and io_uring; one daemon for each round. */
final class QemuMover implements Mover {
    private static final Set<String> READY = Set.of("BLOCK_JOB_READY", "BLOCK_JOB_COMPLETED");
    private static final Set<String> COMPLETED = Set.of("BLOCK_JOB_COMPLETED");

    private final String storageDaemon;
    private final String copyMode;
    private final Path directory;
    private final long sizeBytes;
    private Path source;
    private Path target;
    private @Nullable ServerProcess daemon;

    /**
     * Prepares a copy of {@code file} to move.
     *
     * @param copyMode {@code background} or {@code write-blocking}
     */
    QemuMover(BenchOptions options, Workspace workspace, BenchFile file, String copyMode) throws IOException {
        storageDaemon = options.storageDaemon();
        this.copyMode = copyMode;
        sizeBytes = file.sizeBytes();
        directory = Files.createDirectory(workspace.path("qemu-" + copyMode));
        source = directory.resolve("first.raw");
        target = directory.resolve("second.raw");
        Files.copy(file.path(), source);
    }

    @Override
    public String label() {
        return "qemu " + copyMode;
    }

    @Override
    public String open() {
        Path socket = directory.resolve("nbd.sock");
        ServerProcess started = ServerProcess.onSocket(
                List.of(
                        storageDaemon,
                        "--chardev",
                        "socket,id=monitor,server=on,wait=off,path=" + directory.resolve("qmp.sock"),
                        "--monitor",
                        "chardev=monitor",
                        "--blockdev",
                        "driver=file,node-name=file,cache.direct=on,aio=io_uring,discard=unmap,filename=" + source,
                        "--blockdev",
                        "driver=raw,node-name=disk,file=file,discard=unmap",
                        "--nbd-server",
                        "addr.type=unix,addr.path=" + socket,
                        "--export",
                        "type=nbd,id=export,node-name=disk,name=disk,writable=on"),
                socket,
                directory.resolve("qemu.log"));
        daemon = started;
        return "nbd+unix:///disk?socket=" + socket;
    }

    @Override
    public Move move() throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(target.toFile(), "rw")) {
            file.setLength(sizeBytes);
        }
        Map<String, Object> targetFile = Map.of(
                "driver", "file",
                "filename", target.toString(),
                "cache", Map.of("direct", true),
                "aio", "io_uring",
                "discard", "unmap");
        try (Qmp qmp = new Qmp(directory.resolve("qmp.sock"))) {
            qmp.execute(
                    "blockdev-add",
                    Map.of("driver", "raw", "node-name", "target", "discard", "unmap", "file", targetFile));
            long beginMillis = System.currentTimeMillis();
            long beginNanos = System.nanoTime();
            qmp.execute(
                    "blockdev-mirror",
                    Map.of(
                            "job-id",
                            "move",
                            "device",
                            "disk",
                            "target",
                            "target",
                            "sync",
                            "full",
                            "copy-mode",
                            copyMode));
            JsonNode event = qmp.awaitEvent(READY);
            if (event.path("event").asString().equals("BLOCK_JOB_READY")) {
                qmp.execute("block-job-complete", Map.of("device", "move"));
                event = qmp.awaitEvent(COMPLETED);
            }
            if (event.path("data").has("error")) {
                throw new BenchException("QEMU's mirror failed: " + event);
            }
            double seconds = (System.nanoTime() - beginNanos) / 1e9;
            return new Move(beginMillis, System.currentTimeMillis(), seconds, Double.NaN);
        }
    }

    @Override
    public void finish() throws IOException {
        close();
        Files.deleteIfExists(source);
        Path former = source;
        source = target;
        target = former;
    }

    @Override
    public void close() {
        if (daemon != null) {
            daemon.close();
            daemon = null;
        }
    }
}
