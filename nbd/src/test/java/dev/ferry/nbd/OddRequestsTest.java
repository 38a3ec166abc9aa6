package dev.ferry.nbd;

import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.Requires;
import dev.ferry.testkit.Stranger;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Requests that ordinary tools do not make, made by libnbd's Python with its own checks switched off. */
@Timeout(120)
class OddRequestsTest {
    private static final String PYTHON = "/usr/bin/python3";
    private static final int SIZE_BYTES = 16 << 20;

    /** What every script begins with: a handle that checks nothing itself. */
    private static final String PRELUDE = """
            import errno, nbd, sys
            uri = sys.argv[1]
            def connect(prepare=lambda h: None):
                h = nbd.NBD()
                h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
                prepare(h)
                h.connect_uri(uri)
                h.set_strict_mode(0)
                return h
            def refused(error, call, *arguments):
                try:
                    call(*arguments)
                except nbd.Error as e:
                    assert e.errnum == error, (e.errnum, error, str(e))
                    return
                raise AssertionError("not refused: %s %s" % (call, arguments))
            h = connect()
            size = h.get_size()
            """;

    @TempDir
    Path folder;

    @BeforeAll
    static void needs() throws Exception {
        Requires.program("python3");
        boolean present = new ProcessBuilder(PYTHON, "-c", "import nbd").start().waitFor() == 0;
        Requires.that(present, "libnbd for Python");
    }

    private void script(String lines) throws Exception {
        Path file = folder.resolve("disk.raw");
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(SIZE_BYTES);
        }
        for (EventLoops.Kind kind : new EventLoops.Kind[] {EventLoops.Kind.IO_URING, EventLoops.Kind.EPOLL}) {
            try (Served served = new Served(kind)) {
                served.serve("disk", FileDevice.open(served.loop, file, FileOptions.CACHED));
                Stranger.succeeds(
                        PYTHON, "-c", PRELUDE + lines, served.unix("disk").toString());
            }
        }
    }

    @Test
    void zeroesKeepOrGiveBackTheirSpace() throws Exception {
        script("""
                def allocated(offset, length):
                    total = []
                    def take(context, at, entries, error):
                        position = at
                        for count, flags in zip(entries[::2], entries[1::2]):
                            if flags & nbd.STATE_HOLE == 0:
                                total.append(min(count, offset + length - position))
                            position += count
                        return 0
                    h.block_status(length, offset, take)
                    return sum(total)
                data = bytearray(b'x' * (1 << 20))
                h.pwrite(data, 0, nbd.CMD_FLAG_FUA)
                h.zero(1 << 20, 0, nbd.CMD_FLAG_NO_HOLE)
                assert h.pread(1 << 20, 0) == bytes(1 << 20)
                h.pwrite(data, 1 << 20)
                try:
                    h.zero(1 << 20, 1 << 20, nbd.CMD_FLAG_FAST_ZERO)
                    assert h.pread(1 << 20, 1 << 20) == bytes(1 << 20)
                except nbd.Error as e:
                    assert e.errnum == errno.ENOTSUP, str(e)
                    assert h.pread(1 << 20, 1 << 20) == data
                h.pwrite(data, 2 << 20)
                h.trim(1 << 20, 2 << 20, nbd.CMD_FLAG_FUA)
                h.flush()
                assert allocated(2 << 20, 1 << 20) == 0, allocated(2 << 20, 1 << 20)
                h.zero(size, 0)
                h.shutdown()
                """);
    }

    @Test
    void readsThatMayNotBeSplitComeInOnePiece() throws Exception {
        script("""
                h.pwrite(bytearray(b'y' * 4096), 8192)
                chunks = []
                def take(part, offset, status, error):
                    chunks.append((offset, len(part)))
                    return 0
                back = h.pread_structured(1 << 20, 0, take, nbd.CMD_FLAG_DF)
                assert chunks == [(0, 1 << 20)], chunks
                assert back[8192:12288] == b'y' * 4096
                assert h.pread_structured(300000, 77, lambda *a: 0)[8115:12211] == b'y' * 4096
                h.shutdown()
                """);
    }

    @Test
    void zeroesOfALargeReadAreDescribedAndNotSent() throws Exception {
        script("""
                mebi = 1 << 20
                h.zero(size, 0)
                h.pwrite(bytearray(b'a' * mebi), 0)
                h.pwrite(bytearray(mebi), mebi)
                h.pwrite(bytearray(b'b' * mebi), 2 * mebi)
                chunks = []
                def take(part, offset, status, error):
                    chunks.append((status, offset, len(part)))
                    return 0
                # Twice: what is read once is in the page cache, holes too.
                for round in range(2):
                    chunks.clear()
                    back = h.pread_structured(5 * mebi, 0, take)
                    assert back == b'a' * mebi + bytes(mebi) + b'b' * mebi + bytes(2 * mebi)
                    assert chunks == [(nbd.READ_DATA, 0, mebi), (nbd.READ_HOLE, mebi, mebi),
                                      (nbd.READ_DATA, 2 * mebi, mebi), (nbd.READ_HOLE, 3 * mebi, 2 * mebi)], chunks
                h.shutdown()
                """);
    }

    @Test
    void statusOfOneExtentNeverExceedsTheRequest() throws Exception {
        script("""
                h.zero(size, 0)
                h.pwrite(bytearray(b'z' * 65536), 1 << 20)
                h.flush()
                answers = []
                def take(context, at, entries, error):
                    answers.append((context, at, entries))
                    return 0
                h.block_status(size, 0, take, nbd.CMD_FLAG_REQ_ONE)
                context, at, entries = answers.pop()
                assert context == 'base:allocation' and at == 0 and len(entries) == 2, entries
                assert entries[0] == 1 << 20 and entries[1] == 3, entries
                h.block_status(4096, (1 << 20) + 512, take, nbd.CMD_FLAG_REQ_ONE)
                assert answers.pop()[2] == [4096, 0]
                h.block_status(size, 0, take)
                entries = answers.pop()[2]
                assert sum(entries[::2]) == size, entries
                refused(errno.EINVAL, h.block_status, 0, 0, take)
                h.shutdown()
                """);
    }

    @Test
    void cacheIsAnsweredAndChangesNothing() throws Exception {
        script("""
                h.pwrite(bytearray(b'c' * 65536), 0)
                h.cache(size, 0)
                h.cache(1, size - 1)
                refused(errno.EINVAL, h.cache, 2, size - 1)
                assert h.pread(65536, 0) == b'c' * 65536
                h.shutdown()
                """);
    }

    @Test
    void emptyRequestsAndRangesOutsideAreAnsweredAndTheConnectionGoesOn() throws Exception {
        script("""
                assert h.pread(0, 0) == b''
                h.pwrite(bytearray(), 0)
                h.zero(0, 0)
                h.trim(0, 0)
                refused(errno.EINVAL, h.pread, 512, size)
                refused(errno.EINVAL, h.pread, 512, size - 511)
                refused(errno.ENOSPC, h.pwrite, bytearray(512), size)
                refused(errno.ENOSPC, h.zero, 4096, size - 1)
                refused(errno.EINVAL, h.trim, (1 << 32) - 4096, 4096)
                refused(errno.EINVAL, h.pread, 1, (1 << 64) - 1)
                refused(errno.EINVAL, h.pwrite, bytearray(512), 0, nbd.CMD_FLAG_DF)
                refused(errno.EINVAL, h.flush, nbd.CMD_FLAG_NO_HOLE)
                h.flush(nbd.CMD_FLAG_FUA)
                refused(errno.EINVAL, h.pwrite, bytearray((32 << 20) + 1), 0)
                assert h.pread(512, size - 512) == bytes(512)
                h.shutdown()
                """);
    }

    @Test
    void aClientWithoutStructuredRepliesIsServedToo() throws Exception {
        script("""
                plain = connect(lambda h: h.set_request_structured_replies(False))
                assert not plain.get_structured_replies_negotiated()
                plain.pwrite(bytearray(b'p' * 300000), 12345)
                assert plain.pread(300000, 12345) == b'p' * 300000
                refused(errno.EINVAL, plain.pread, 512, size)
                assert h.pread(300000, 12345) == b'p' * 300000
                plain.shutdown()
                oldest = connect(lambda h: (h.set_handshake_flags(0), h.set_request_structured_replies(False)))
                assert oldest.get_size() == size and oldest.get_protocol() == 'newstyle'
                assert oldest.pread(300000, 12345) == b'p' * 300000
                oldest.shutdown()
                h.shutdown()
                """);
    }

    @Test
    void whatOneConnectionFlushedTheOtherSees() throws Exception {
        script("""
                assert h.can_multi_conn()
                others = [connect() for i in range(8)]
                for i, other in enumerate(others):
                    other.pwrite(bytearray([i + 1] * 4096), i * 4096)
                h.flush()
                for i in range(8):
                    assert others[7 - i].pread(4096, i * 4096) == bytes([i + 1] * 4096)
                for other in others:
                    other.shutdown()
                h.shutdown()
                """);
    }
}
