package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.ExportFacts;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.nbd.wire.ReplyStyle;
import dev.ferry.nbd.wire.SessionTerms;
import dev.ferry.reactor.Sockets;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Exports, listeners and servers that come and go while clients are at work. */
@Timeout(180)
class LifeCycleTest {
    @Test
    void aRemovedExportAnswersWhatIsInFlightAndIsGoneAfterThat() throws Exception {
        HeldDisk disk = new HeldDisk(new MemoryDisk(1 << 20));
        CountDownLatch gone = new CountDownLatch(1);
        try (ServerRig rig = new ServerRig()) {
            rig.export("disk", disk).export("other", new MemoryDisk(4096));
            rig.onExportLoop(disk::hold);
            try (RawClient client = rig.connect()) {
                client.go("disk");
                int count = 10;
                for (int i = 0; i < count; i++) {
                    client.request(0, i % 2 == 0 ? Nbd.CMD_READ : Nbd.CMD_WRITE_ZEROES, i, 0, 4096);
                }
                ServerRig.await("all in the device", () -> disk.held() == count);
                assertThat(rig.server().remove("disk", gone::countDown)).isTrue();
                rig.onExportLoop(() -> {});
                assertThat(gone.getCount())
                        .as("gone with requests in the device")
                        .isEqualTo(1);
                try (RawClient late = rig.connect()) {
                    late.greet();
                    assertThat(late.askType(Bytes.empty().info(Nbd.OPT_GO, "disk")))
                            .isEqualTo(Nbd.REP_ERR_UNKNOWN);
                }
                rig.onExportLoop(disk::release);
                for (int i = 0; i < count; i++) {
                    assertThat(client.reply().error()).isZero();
                }
                client.expectEnd();
            }
            assertThat(gone.await(10, TimeUnit.SECONDS)).isTrue();
            assertThat(rig.server().remove("disk", gone::countDown)).isFalse();
            rig.awaitNoConnections();
            rig.expectGoodService("other");
        }
    }

    @Test
    void aRemovedExportDoesNotWaitForAClientThatDoesNotListen() throws Exception {
        try (ServerRig rig = new ServerRig(ServerSettings.DEFAULT.withGoodbyeMax(Duration.ofMillis(200)))) {
            rig.export("disk", new MemoryDisk(64 << 20));
            try (RawClient client = rig.connect()) {
                client.go("disk");
                for (int i = 0; i < 8; i++) {
                    client.request(0, Nbd.CMD_READ, i, 0, 8 << 20);
                }
                client.reply();
                CountDownLatch gone = new CountDownLatch(1);
                rig.server().remove("disk", gone::countDown);
                assertThat(gone.await(10, TimeUnit.SECONDS)).isTrue();
            }
        }
    }

    @Test
    void aClientDoesNotEnterADiskThatHasTakenTheNameOfTheOneItWasToldOf() throws Exception {
        try (ServerRig rig = new ServerRig()) {
            rig.export("disk", new MemoryDisk(8192));
            ExportFacts told = Objects.requireNonNull(rig.server().find("disk"));
            SessionTerms terms = new SessionTerms(told, ReplyStyle.STRUCTURED, List.of());
            assertThat(rig.server().exportOf(terms)).isNotNull();
            rig.server().remove("disk", () -> {});
            assertThat(rig.server().exportOf(terms)).isNull();
            rig.export("disk", new MemoryDisk(4096));
            assertThat(rig.server().exportOf(terms)).isNull();
        }
    }

    @Test
    void aConnectionThatComesWhileTheServerStopsIsClosedAndNotCounted(@TempDir Path folder) throws Exception {
        Path path = folder.resolve("s");
        try (ServerRig rig = new ServerRig();
                ServerSocketChannel peers = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            peers.bind(UnixDomainSocketAddress.of(path));
            int late = Sockets.connectUnix(path);
            SocketChannel peer = peers.accept();
            CountDownLatch done = new CountDownLatch(1);
            rig.server().shutdown(done::countDown);
            assertThat(done.await(10, TimeUnit.SECONDS)).isTrue();
            rig.markStopped();
            rig.onExportLoop(() -> rig.server().accepted(rig.exportLoop(), late));
            assertThat(peer.read(ByteBuffer.allocate(1)))
                    .as("the end of the stream")
                    .isEqualTo(-1);
            assertThat(rig.server().connections()).isZero();
            peer.close();
        }
    }

    @Test
    void anExportAddedLaterIsServedOnTheSameSocketAndMayTakeAnOldName() throws Exception {
        try (ServerRig rig = new ServerRig()) {
            try (RawClient client = rig.connect()) {
                client.greet();
                assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "disk")))
                        .isEqualTo(Nbd.REP_ERR_UNKNOWN);
                rig.export("disk", new MemoryDisk(4096));
                assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "disk")))
                        .isEqualTo(Nbd.REP_ACK);
                assertThat(client.errorOf(0, Nbd.CMD_WRITE_ZEROES, 0, 8192)).isEqualTo(Nbd.ENOSPC);
                assertThatThrownBy(() -> rig.export("disk", new MemoryDisk(4096)))
                        .isInstanceOfSatisfying(
                                BlockException.class,
                                refused -> assertThat(refused.error().kind()).isEqualTo(ErrorKind.BUSY));
                CompletableFuture<Void> gone = new CompletableFuture<>();
                rig.server().remove("disk", () -> gone.complete(null));
                client.expectEnd();
                gone.get(90, TimeUnit.SECONDS);
            }
            rig.export("disk", new MemoryDisk(8192));
            try (RawClient client = rig.connect()) {
                client.go("disk");
                assertThat(client.errorOf(0, Nbd.CMD_WRITE_ZEROES, 0, 8192)).isZero();
            }
        }
    }

    @Test
    void shutdownAnswersTheBusyAndClosesTheIdleAndTheGreeting() throws Exception {
        HeldDisk disk = new HeldDisk(new MemoryDisk(1 << 20));
        try (ServerRig rig = new ServerRig()) {
            rig.export("disk", disk);
            try (RawClient greeting = rig.connect();
                    RawClient silent = rig.connect();
                    RawClient idle = rig.connect();
                    RawClient busy = rig.connect()) {
                greeting.greet();
                idle.go("disk");
                rig.onExportLoop(disk::hold);
                busy.go("disk").request(0, Nbd.CMD_READ, 1, 0, 4096);
                ServerRig.await("in the device", () -> disk.held() == 1);
                CompletableFuture<Void> done = new CompletableFuture<>();
                rig.server().shutdown(() -> done.complete(null));
                greeting.expectEnd();
                silent.receiveToEnd();
                idle.expectEnd();
                assertThat(done).isNotDone();
                rig.onExportLoop(disk::release);
                assertThat(busy.reply().cookie()).isEqualTo(1);
                busy.expectEnd();
                done.get(90, TimeUnit.SECONDS);
                assertThat(rig.server().connections()).isZero();
                assertThatThrownBy(rig::connect).isInstanceOf(IOException.class);
                assertThatThrownBy(() -> rig.export("late", new MemoryDisk(4096)))
                        .isInstanceOf(BlockException.class);
            }
            rig.markStopped();
        }
    }

    @Test
    void aStoppedListenerLetsItsConnectionsGoOn() throws Exception {
        try (ServerRig rig = new ServerRig()) {
            rig.export("disk", new MemoryDisk(1 << 20));
            try (RawClient client = rig.connect();
                    RawClient greeting = rig.connect()) {
                client.go("disk");
                greeting.greet();
                rig.listener().close();
                ServerRig.await("nobody is let in", () -> {
                    try (RawClient late = rig.connect()) {
                        late.greet();
                        return false;
                    } catch (IOException refused) {
                        return true;
                    }
                });
                assertThat(client.errorOf(0, Nbd.CMD_FLUSH, 0, 0)).isZero();
                assertThat(greeting.askType(Bytes.empty().info(Nbd.OPT_GO, "disk")))
                        .isEqualTo(Nbd.REP_ACK);
                assertThat(greeting.errorOf(0, Nbd.CMD_FLUSH, 0, 0)).isZero();
            }
        }
    }
}
