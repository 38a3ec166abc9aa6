package dev.ferry.bench;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.device.ReactorLoop;
import dev.ferry.filter.Gate;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.CopierSettings;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.stack.OnLoop;

/**
 * A disk in this process that is mirrored to an NBD server, by the mirror, the copier and the client of a real move, while a
 * guest writes to it at a pace. Used once.
 */
final class FarMirror implements AutoCloseable {
    private static final long POOL_BYTES = 256 << 20;
    private static final CopierSettings SETTINGS = CopierSettings.DEFAULT.upTo(32);
    private static final ClientSettings CONNECTED = ClientSettings.DEFAULT.withConnections(4);
    private static final int DEPTH = 8;
    private static final int WRITES_A_SECOND = 500;

    private final EventLoops loops = EventLoops.start(1, EventLoops.Kind.AUTO);
    private final ReactorLoop loop;
    private final FileDevice source;
    private final NbdClientDevice target;
    private final Mirror mirror;
    private final LoopLoad guest;

    /** Opens the file and connects to the server, whose export is as large. */
    FarMirror(BenchFile file, String uri) throws BlockException {
        EventLoop events = loops.all().getFirst();
        loop = new ReactorLoop(events);
        source = FileDevice.open(events, file.path(), FileOptions.CACHED);
        target = NbdClientDevice.open(events, NbdUri.parse(uri), CONNECTED);
        BlockDevice checked = CheckedDevice.of(target, "target");
        mirror = OnLoop.get(
                loop,
                () -> new Mirror(
                        loop, CheckedDevice.of(source, "source"), checked, MirrorSettings.DEFAULT, FarMirror::failed));
        guest = new LoopLoad(loop, new Gate(loop, mirror), file.sizeBytes(), DEPTH, WRITES_A_SECOND, 11);
    }

    private static void failed(BlockError why) {
        throw new IllegalStateException(why.message());
    }

    /** Copies all of it beside the guest, and gives what the guest felt meanwhile. */
    LoopLoad.Felt copy() throws BlockException {
        OnLoop.run(loop, guest::start);
        OnLoop.run(loop, guest::mark);
        BufferPool buffers = BufferPool.ofBytes(POOL_BYTES);
        Copier copier = OnLoop.get(loop, () -> new Copier(loop, mirror, buffers, SETTINGS));
        OnLoop.await(loop, copier::start);
        return OnLoop.get(loop, guest::felt);
    }

    /** Ends the guest, and has the target durable. */
    @Override
    public void close() {
        try {
            OnLoop.await(loop, guest::stop);
            OnLoop.await(loop, mirror::closeUp);
            OnLoop.await(loop, target::flush);
            OnLoop.await(loop, target::close);
            OnLoop.await(loop, source::close);
        } catch (BlockException failed) {
            throw new BenchException("the mirror does not end: " + failed.getMessage(), failed);
        } finally {
            loops.close();
        }
    }
}
