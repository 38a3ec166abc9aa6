package dev.ferry.reactor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What every event loop must do, whatever it waits with. */
@Timeout(30)
abstract class EventLoopContract {
    private EventLoops loops;
    private EventLoop loop;

    @TempDir
    Path folder;

    abstract EventLoops.Kind kind();

    @BeforeEach
    void start() {
        loops = EventLoops.start(1, kind());
        loop = loops.next();
    }

    @AfterEach
    void stop() {
        loops.close();
    }

    /** An operation whose result can be waited for. */
    private static final class Ending extends IoOperation {
        private final CompletableFuture<Integer> result = new CompletableFuture<>();

        @Override
        protected void completed(int outcome) {
            result.complete(outcome);
        }

        int await() throws Exception {
            return result.get(90, TimeUnit.SECONDS);
        }
    }

    @Test
    void commandsOfOneThreadRunInOrder() throws Exception {
        List<Integer> seen = new ArrayList<>();
        CompletableFuture<Void> last = new CompletableFuture<>();
        for (int i = 0; i < 10_000; i++) {
            int number = i;
            loop.execute(() -> seen.add(number));
        }
        loop.execute(() -> last.complete(null));
        last.get(90, TimeUnit.SECONDS);
        assertThat(seen).hasSize(10_000).isSorted();
    }

    @Test
    void aCommandThatThrowsDoesNotEndTheLoop() throws Exception {
        loop.execute(() -> {
            throw new IllegalStateException("on purpose");
        });
        CompletableFuture<Void> after = new CompletableFuture<>();
        loop.execute(() -> after.complete(null));
        after.get(90, TimeUnit.SECONDS);
    }

    @Test
    void aSleepingLoopWakesForEachCommand() throws Exception {
        for (int i = 0; i < 2_000; i++) {
            CompletableFuture<Boolean> ran = new CompletableFuture<>();
            loop.execute(() -> ran.complete(loop.inLoop()));
            assertThat(ran.get(90, TimeUnit.SECONDS)).isTrue();
        }
    }

    @Test
    void timersRunInOrderOfTheirTimesAndNotWhenCancelled() throws Exception {
        List<Integer> seen = new ArrayList<>();
        CompletableFuture<Long> done = new CompletableFuture<>();
        long before = System.nanoTime();
        loop.execute(() -> {
            loop.schedule(30_000_000, () -> done.complete(System.nanoTime()));
            loop.schedule(20_000_000, () -> seen.add(2));
            loop.schedule(10_000_000, () -> seen.add(1));
            loop.schedule(15_000_000, () -> seen.add(99)).cancel();
        });
        assertThat(done.get(90, TimeUnit.SECONDS) - before).isGreaterThanOrEqualTo(30_000_000L);
        assertThat(seen).containsExactly(1, 2);
    }

    @Test
    void anAlarmRunsOnceEachTimeItIsSetAndOnlyForTheLastTimeThatItWasSet() throws Exception {
        List<Integer> seen = new ArrayList<>();
        CompletableFuture<Long> done = new CompletableFuture<>();
        long before = System.nanoTime();
        loop.execute(() -> {
            EventLoop.Alarm never = loop.alarm(() -> seen.add(99));
            never.cancel();
            never.set(5_000_000);
            never.cancel();
            EventLoop.Alarm[] again = new EventLoop.Alarm[1];
            again[0] = loop.alarm(() -> {
                seen.add(seen.size());
                if (seen.size() < 3) {
                    again[0].set(1_000_000);
                    again[0].set(10_000_000);
                } else {
                    again[0].cancel();
                    loop.schedule(20_000_000, () -> done.complete(System.nanoTime()));
                }
            });
            again[0].set(3_600_000_000_000L);
            again[0].set(10_000_000);
        });
        assertThat(done.get(90, TimeUnit.SECONDS) - before).isGreaterThanOrEqualTo(50_000_000L);
        assertThat(seen).containsExactly(0, 1, 2);
    }

    @Test
    void moreThanASocketHoldsArrivesWhole() throws Exception {
        int[] pair = Sockets.pair();
        int length = 8 << 20;
        long from = Linux.mapPages(length);
        long to = Linux.mapPages(length);
        for (int i = 0; i < length; i += 8) {
            Memory.put(from + i, i * 31L);
        }
        Ending sent = new Ending();
        Ending received = new Ending();
        loop.execute(() -> loop.send(pair[0], from, length, sent));
        loop.execute(() -> loop.receiveFully(pair[1], to, length, received));
        assertThat(sent.await()).isEqualTo(length);
        assertThat(received.await()).isEqualTo(length);
        assertThat(Memory.slice(from, length).mismatch(Memory.slice(to, length)))
                .isEqualTo(-1);
        closeBoth(pair);
    }

    @Test
    void vectorsGoOutInOrder() throws Exception {
        int[] pair = Sockets.pair();
        long data = Linux.mapPages(8192);
        long vectors = Linux.mapPages(4096);
        Memory.put(data, 1);
        Memory.put(data + 4096, 2);
        Memory.put(vectors, data);
        Memory.put(vectors + 8, 4L);
        Memory.put(vectors + 16, data + 4096);
        Memory.put(vectors + 24, 4L);
        Ending sent = new Ending();
        loop.execute(() -> loop.sendVectors(pair[0], vectors, 2, sent));
        assertThat(sent.await()).isEqualTo(8);
        long to = Linux.mapPages(4096);
        Ending received = new Ending();
        loop.execute(() -> loop.receive(pair[1], to, 4096, received));
        assertThat(received.await()).isEqualTo(8);
        assertThat(Memory.intAt(to)).isEqualTo(1);
        assertThat(Memory.intAt(to + 4)).isEqualTo(2);
        closeBoth(pair);
    }

    @Test
    void aFullSocketSaysWhenItHasRoomAgain() throws Exception {
        int[] pair = Sockets.pair();
        long data = Linux.mapPages(1 << 20);
        int put = 1;
        while (put > 0) {
            put = Linux.send(pair[0], data, 1 << 20, Linux.MSG_DONTWAIT | Linux.MSG_NOSIGNAL);
        }
        assertThat(put).isEqualTo(-Errno.EAGAIN);
        Ending writable = new Ending();
        loop.execute(() -> loop.awaitWritable(pair[0], writable));
        CompletableFuture<Boolean> waiting = new CompletableFuture<>();
        loop.execute(() -> loop.schedule(5_000_000, () -> waiting.complete(writable.inFlight())));
        assertThat(waiting.get(90, TimeUnit.SECONDS)).isTrue();
        int taken = 1;
        while (taken > 0) {
            taken = Linux.receive(pair[1], data, 1 << 20, Linux.MSG_DONTWAIT);
        }
        assertThat(writable.await()).isGreaterThanOrEqualTo(0);
        closeBoth(pair);
    }

    @Test
    void connectionsAreAcceptedAndAPeerThatLeavesIsSeen() throws Exception {
        Path path = folder.resolve("s");
        int listener = Sockets.listenUnix(path);
        Ending accepted = new Ending();
        loop.execute(() -> loop.accept(listener, accepted));
        int client = Sockets.connectUnix(path);
        int server = accepted.await();
        assertThat(server).isPositive();
        assertThat(Sockets.isUnix(server)).isTrue();
        long to = Linux.mapPages(4096);
        Ending end = new Ending();
        loop.execute(() -> loop.receive(server, to, 4096, end));
        Linux.close(client);
        assertThat(end.await()).isZero();
        Ending broken = new Ending();
        loop.execute(() -> loop.send(server, to, 4096, broken));
        assertThat(broken.await()).isEqualTo(-Errno.EPIPE);
        Linux.close(server);
        Linux.close(listener);
    }

    @Test
    void tcpListensOnAFreePortAndTellsIt() throws Exception {
        int listener = Sockets.listenTcp(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        int port = Sockets.localPort(listener);
        Ending accepted = new Ending();
        loop.execute(() -> loop.accept(listener, accepted));
        int client = Sockets.connectTcp(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        int server = accepted.await();
        assertThat(Sockets.isUnix(server)).isFalse();
        Linux.close(client);
        Linux.close(server);
        Linux.close(listener);
    }

    @Test
    void cancelEndsAnOperationThatWaits() throws Exception {
        int[] pair = Sockets.pair();
        long to = Linux.mapPages(4096);
        Ending waiting = new Ending();
        loop.execute(() -> loop.receive(pair[0], to, 4096, waiting));
        loop.execute(() -> loop.schedule(1_000_000, () -> loop.cancel(waiting)));
        assertThat(waiting.await()).isEqualTo(-Errno.ECANCELED);
        closeBoth(pair);
    }

    @Test
    void filesAreReadWrittenSyncedAndPunched() throws Exception {
        int file = Linux.open(folder.resolve("f").toString(), Linux.O_CREAT | Linux.O_EXCL | Linux.O_RDWR, 0600);
        assertThat(file).isPositive();
        int mega = 1 << 20;
        long memory = Linux.mapPages(mega);
        Memory.put(memory, 42L);
        Ending written = new Ending();
        loop.execute(() -> loop.write(file, mega, memory, mega, written));
        assertThat(written.await()).isEqualTo(mega);
        Ending synced = new Ending();
        loop.execute(() -> loop.dataSync(file, synced));
        assertThat(synced.await()).isZero();
        long back = Linux.mapPages(mega);
        Ending read = new Ending();
        loop.execute(() -> loop.read(file, mega, back, mega, read));
        assertThat(read.await()).isEqualTo(mega);
        assertThat(Memory.longAt(back)).isEqualTo(42L);
        assertThat(Linux.seek(file, 0, Linux.SEEK_DATA)).isEqualTo(mega);
        Ending punched = new Ending();
        loop.execute(() -> loop.allocate(file, Linux.FALLOC_PUNCH_HOLE | Linux.FALLOC_KEEP_SIZE, mega, mega, punched));
        assertThat(punched.await()).isZero();
        assertThat(Linux.seek(file, 0, Linux.SEEK_DATA)).isEqualTo(-Errno.ENXIO);
        Ending pastTheEnd = new Ending();
        loop.execute(() -> loop.read(file, 4L * mega, back, 4096, pastTheEnd));
        assertThat(pastTheEnd.await()).isZero();
        assertThat(Linux.facts(file).sizeBytes()).isEqualTo(2L * mega);
        Linux.close(file);
    }

    @Test
    void blockingWorkRunsElsewhereAndEndsHere() throws Exception {
        CompletableFuture<Boolean> ranInLoop = new CompletableFuture<>();
        CompletableFuture<Boolean> endedInLoop = new CompletableFuture<>();
        loop.execute(() -> loop.offload(
                () -> {
                    ranInLoop.complete(loop.inLoop());
                    return 7;
                },
                new IoOperation() {
                    @Override
                    protected void completed(int result) {
                        endedInLoop.complete(loop.inLoop() && result == 7);
                    }
                }));
        assertThat(endedInLoop.get(90, TimeUnit.SECONDS)).isTrue();
        assertThat(ranInLoop.get(90, TimeUnit.SECONDS)).isFalse();
    }

    @Test
    void moreOperationsAreInFlightThanTheRingHolds() throws Exception {
        int count = 3_000;
        int[][] pairs = new int[count][];
        Ending[] endings = new Ending[count];
        long memory = Linux.mapPages(count * 8L);
        for (int i = 0; i < count; i++) {
            pairs[i] = Sockets.pair();
            endings[i] = new Ending();
        }
        loop.execute(() -> {
            for (int i = 0; i < count; i++) {
                loop.receive(pairs[i][0], memory + i * 8L, 8, endings[i]);
            }
        });
        long word = Linux.mapPages(4096);
        for (int i = 0; i < count; i++) {
            Memory.put(word, (long) i);
            assertThat(Linux.send(pairs[i][1], word, 8, 0)).isEqualTo(8);
        }
        for (int i = 0; i < count; i++) {
            assertThat(endings[i].await()).isEqualTo(8);
            assertThat(Memory.longAt(memory + i * 8L)).isEqualTo(i);
            closeBoth(pairs[i]);
        }
    }

    @Test
    void anAddressInUseIsOneLine() throws IOException {
        Path path = folder.resolve("t");
        int listener = Sockets.listenUnix(path);
        assertThatThrownBy(() -> Sockets.listenUnix(path))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("address already in use");
        Linux.close(listener);
    }

    private static void closeBoth(int[] pair) {
        Linux.close(pair[0]);
        Linux.close(pair[1]);
    }
}
