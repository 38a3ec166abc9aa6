package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A client that wants more connections than a server has places for makes do with those. */
@Timeout(60)
class FewPlacesTest {
    private static final ClientSettings FOUR = ClientSettings.DEFAULT.withConnections(4);

    @Test
    void aServerThatRefusesMoreThanSomeIsUsedByThose() throws Exception {
        ServerSettings settings = ServerSettings.DEFAULT.withClientsPerExportMax(2);
        try (Served served = new Served(EventLoops.Kind.AUTO, settings)) {
            served.serve("disk", new MemoryDisk(1 << 20));
            NbdClientDevice device = NbdClientDevice.open(served.clientLoop, served.tcp("disk"), FOUR);
            assertThat(device.connections()).isEqualTo(2);
            IoBuffer buffer = IoBuffer.allocate(4096);
            assertThat(OnLoop.await(served.clients(), end -> device.write(0, buffer, 0, 4096, 0, end)))
                    .isNull();
            assertThat(OnLoop.await(served.clients(), device::flush)).isNull();
            assertThatThrownBy(() -> NbdClientDevice.open(served.clientLoop, served.tcp("disk"), FOUR))
                    .as("nobody is let in where there is no place")
                    .isInstanceOf(BlockException.class);
            assertThat(OnLoop.await(served.clients(), device::close)).isNull();
        }
    }
}
