package dev.ferry.device;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.IoBuffer;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class MemoryDeviceTest {
    @Test
    void holesAreToldFromData() {
        MemoryDevice device = new MemoryDevice(1 << 20);
        IoBuffer buffer = IoBuffer.allocate(4096);
        buffer.segment().fill((byte) 7);
        device.write(200_000, buffer, 0, 4096, 0, error -> assertThat(error).isNull());
        List<String> extents = new ArrayList<>();
        device.extents(0, 1 << 20, (at, length, state) -> extents.add(at + "+" + length + ":" + state), error -> {});
        assertThat(extents).containsExactly("0+196608:3", "196608+65536:0", "262144+786432:3");
        device.discard(190_000, 100_000, 0, error -> assertThat(error).isNull());
        device.read(200_000, buffer, 0, 4096, error -> assertThat(error).isNull());
        assertThat(buffer.isZero(0, 4096)).isTrue();
    }
}
