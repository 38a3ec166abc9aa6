package dev.ferry.nbd.fuzz;

import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.ClientHandshake;
import dev.ferry.nbd.wire.ClientHandshake.Outcome;
import dev.ferry.nbd.wire.ClientHandshake.Purpose;
import dev.ferry.nbd.wire.Nbd;
import java.nio.ByteBuffer;
import java.util.List;

/** The client's handshake, fed with what servers say: it comes to an end, and believes no terms that make no sense. */
public final class ClientHandshakeFuzz {
    private static final List<Purpose> PURPOSES = List.of(Purpose.USE, Purpose.ASK, Purpose.LIST);

    private ClientHandshakeFuzz() {}

    /** Called by the fuzzer. The first byte says what the client wants, and with TLS or without. */
    public static void fuzzerTestOneInput(byte[] data) {
        if (data.length == 0) {
            return;
        }
        Purpose purpose = PURPOSES.get((data[0] & 0x7f) % PURPOSES.size());
        boolean tls = data[0] < 0;
        ClientHandshake machine = new ClientHandshake(purpose, "disk", List.of(Nbd.ALLOCATION_DEPTH), tls);
        ByteBuffer input = ByteBuffer.allocate(ClientHandshake.inputBytes()).limit(0);
        int fed = 1;
        while (true) {
            int before = input.remaining();
            Outcome outcome = machine.step(input);
            boolean waits = machine.output().isEmpty() && input.remaining() == before;
            machine.output().take();
            if (outcome == Outcome.START_TLS) {
                machine.secured();
            } else if (outcome != Outcome.CONTINUE) {
                check(machine, outcome, tls);
                return;
            }
            if (waits) {
                input.compact();
                int piece = Math.min(data.length - fed, input.remaining());
                if (piece == 0) {
                    return;
                }
                input.put(data, fed, piece).flip();
                fed += piece;
            }
        }
    }

    private static void check(ClientHandshake machine, Outcome outcome, boolean tls) {
        if (outcome == Outcome.FAILED) {
            if (machine.failure().isEmpty() || machine.failure().chars().anyMatch(Character::isISOControl)) {
                throw new AssertionError("a failure without words, or with those of the server as they are");
            }
            return;
        }
        if (tls && !machine.isSecured()) {
            throw new AssertionError("without TLS after all");
        }
        if (outcome == Outcome.TRANSMISSION) {
            var export = machine.terms().export();
            if (export.sizeBytes() < 0
                    || Integer.bitCount(export.minimumBlockBytes()) != 1
                    || export.maximumPayloadBytes() <= 0) {
                throw new AssertionError("terms that make no sense: " + export);
            }
        }
    }

    private static Bytes begun(int want) {
        return Bytes.empty().u8(want).greeting(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES);
    }

    private static byte[] export(long sizeBytes) {
        return Bytes.empty()
                .u16(Nbd.INFO_EXPORT)
                .u64(sizeBytes)
                .u16(Nbd.FLAG_HAS_FLAGS | Nbd.FLAG_SEND_FLUSH)
                .done();
    }

    /** Conversations to begin with. */
    public static List<byte[]> corpus() {
        byte[] context = Bytes.empty().u32(7).text(Nbd.BASE_ALLOCATION).done();
        byte[] sizes = Bytes.empty()
                .u16(Nbd.INFO_BLOCK_SIZE)
                .u32(512)
                .u32(4096)
                .u32(1 << 20)
                .done();
        return List.of(
                begun(0).optionReply(Nbd.OPT_EXTENDED_HEADERS, Nbd.REP_ACK)
                        .optionReply(Nbd.OPT_SET_META_CONTEXT, Nbd.REP_META_CONTEXT, context)
                        .optionReply(Nbd.OPT_SET_META_CONTEXT, Nbd.REP_ACK)
                        .optionReply(Nbd.OPT_GO, Nbd.REP_INFO, export(1 << 20))
                        .optionReply(Nbd.OPT_GO, Nbd.REP_INFO, sizes)
                        .optionReply(Nbd.OPT_GO, Nbd.REP_ACK)
                        .done(),
                begun(0).optionReply(Nbd.OPT_EXTENDED_HEADERS, Nbd.REP_ERR_UNSUP)
                        .optionReply(Nbd.OPT_STRUCTURED_REPLY, Nbd.REP_ERR_UNSUP)
                        .optionReply(Nbd.OPT_GO, Nbd.REP_ERR_UNSUP)
                        .u64(1 << 20)
                        .u16(1)
                        .done(),
                begun(2).optionReply(Nbd.OPT_EXTENDED_HEADERS, Nbd.REP_ERR_UNSUP)
                        .optionReply(Nbd.OPT_STRUCTURED_REPLY, Nbd.REP_ACK)
                        .optionReply(
                                Nbd.OPT_LIST,
                                Nbd.REP_SERVER,
                                Bytes.empty().string("disk").text("what it is").done())
                        .optionReply(Nbd.OPT_LIST, Nbd.REP_ACK)
                        .done(),
                begun(0x80).optionReply(Nbd.OPT_STARTTLS, Nbd.REP_ACK).done(),
                Bytes.empty()
                        .u8(0)
                        .u64(Nbd.GREETING_MAGIC)
                        .u64(Nbd.OLDSTYLE_MAGIC)
                        .zeroes(136)
                        .done());
    }
}
