package dev.ferry.nbd.wire;

import dev.ferry.block.ErrorKind;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The client's side of the handshake: it is fed bytes and gives bytes. It asks for what Ferry can use (TLS if it has to
 * be, extended headers, structured replies, metadata contexts, GO with block sizes) and makes do with what a poor server
 * has, down to EXPORT_NAME of a newstyle server without options; but never without TLS if there has to be TLS. Every length is checked before anything is allocated. Belongs to one thread.
 * Specification: sections "Handshake" and "Option types".
 */
public final class ClientHandshake {
    private static final int GREETING_BYTES = 18;
    private static final int REPLY_HEADER_BYTES = 20;
    private static final int REPLY_BYTES_MAX = 64 << 10;
    private static final int REPLIES_MAX = 100_000;
    private static final int BLOCK_BYTES_MAX = 64 << 10;

    /** What a client wants of a server. */
    public enum Purpose {
        /** To use the export. */
        USE,
        /** To know of the export. */
        ASK,
        /** To know of all exports. */
        LIST
    }

    /** What comes next. */
    public enum Outcome {
        /** Send the output, if any; then call {@link #step} again with more input. */
        CONTINUE,
        /** Shake hands by TLS; what is left of the input belongs to that already. Then call {@link #secured}. */
        START_TLS,
        /** The transmission phase begins, by {@link #terms}. */
        TRANSMISSION,
        /** Everything that was asked has been answered. Send the output, then close. */
        DONE,
        /** It failed, and {@link #failure} says why. Close. */
        FAILED
    }

    private record Question(int option, String name) {}

    private final Purpose purpose;
    private final String exportName;
    private final List<String> wantedContexts;
    private final boolean tls;
    private final MessageBytes output = new MessageBytes();
    private final Deque<Question> plan = new ArrayDeque<>();
    private final List<ExportReport> reports = new ArrayList<>();
    private final List<String> contexts = new ArrayList<>();
    private Question asked;
    private boolean greeted;
    private boolean fixed;
    private boolean noZeroes;
    private ReplyStyle style = ReplyStyle.SIMPLE;
    private boolean secured;
    private List<SessionTerms.Context> selected = new ArrayList<>();
    private ExportReport report = ExportReport.named("");
    private boolean reported;
    private int replies;
    private ErrorKind failureKind = ErrorKind.UNAVAILABLE;
    private String failure = "";
    private @Nullable SessionTerms terms;

    /**
     * @param exportName the export to use or to ask for; means nothing for {@link Purpose#LIST}
     * @param wantedContexts what is wanted besides {@code base:allocation}
     * @param tls nothing is said or believed without TLS
     */
    public ClientHandshake(Purpose purpose, String exportName, List<String> wantedContexts, boolean tls) {
        this.purpose = purpose;
        this.exportName = exportName;
        List<String> wanted = new ArrayList<>(wantedContexts);
        wanted.remove(Nbd.BASE_ALLOCATION);
        wanted.addFirst(Nbd.BASE_ALLOCATION);
        this.wantedContexts = wanted.stream().distinct().toList();
        this.tls = tls;
        this.asked = new Question(0, exportName);
    }

    public MessageBytes output() {
        return output;
    }

    public SessionTerms terms() {
        return Objects.requireNonNull(terms);
    }

    public ErrorKind failureKind() {
        return failureKind;
    }

    public String failure() {
        return failure;
    }

    public boolean fixedNewstyle() {
        return fixed;
    }

    /** The form of replies that the server agreed to. */
    public ReplyStyle replies() {
        return style;
    }

    /** True if all but the first words went through TLS. */
    public boolean isSecured() {
        return secured;
    }

    /** The exports that were asked for. */
    public List<ExportReport> reports() {
        return reports;
    }

    /** Says what it means if the server hangs up now. */
    public String meaningOfEnd() {
        return asked.option == Nbd.OPT_EXPORT_NAME
                ? "the server closed the connection: it has no export \"" + printable(asked.name) + "\""
                : "the server closed the connection during the handshake";
    }

    /** Goes on with the bytes that have come. */
    public Outcome step(ByteBuffer input) {
        if (!greeted) {
            return input.remaining() < GREETING_BYTES ? Outcome.CONTINUE : greet(input);
        }
        while (true) {
            if (asked.option == Nbd.OPT_EXPORT_NAME) {
                return exportName(input);
            }
            if (input.remaining() < REPLY_HEADER_BYTES) {
                return Outcome.CONTINUE;
            }
            int at = input.position();
            long length = Integer.toUnsignedLong(input.getInt(at + 16));
            if (input.getLong(at) != Nbd.OPTION_REPLY_MAGIC || input.getInt(at + 8) != asked.option) {
                return fail(ErrorKind.CORRUPT, "the server's answer makes no sense");
            }
            if (length > REPLY_BYTES_MAX || ++replies > REPLIES_MAX) {
                return fail(ErrorKind.CORRUPT, "the server's answer is too long");
            }
            if (input.remaining() < REPLY_HEADER_BYTES + length) {
                return Outcome.CONTINUE;
            }
            int type = input.getInt(at + 12);
            byte[] data = new byte[(int) length];
            input.position(at + REPLY_HEADER_BYTES).get(data);
            Outcome outcome = reply(type, data);
            if (outcome != Outcome.CONTINUE || !output.isEmpty()) {
                return outcome;
            }
        }
    }

    /** Bytes that an input buffer must be able to hold. */
    public static int inputBytes() {
        return REPLY_HEADER_BYTES + REPLY_BYTES_MAX;
    }

    private Outcome greet(ByteBuffer input) {
        long magic = input.getLong();
        long style = input.getLong();
        int flags = input.getShort();
        if (magic != Nbd.GREETING_MAGIC) {
            return fail(ErrorKind.CORRUPT, "this is not an NBD server");
        }
        if (style == Nbd.OLDSTYLE_MAGIC) {
            return fail(ErrorKind.UNSUPPORTED, "the server speaks the oldstyle protocol, which Ferry does not");
        }
        if (style != Nbd.OPTION_MAGIC) {
            return fail(ErrorKind.CORRUPT, "this is not an NBD server");
        }
        greeted = true;
        fixed = (flags & Nbd.FLAG_FIXED_NEWSTYLE) != 0;
        noZeroes = (flags & Nbd.FLAG_NO_ZEROES) != 0;
        output.u32((fixed ? Nbd.FLAG_FIXED_NEWSTYLE : 0) | (noZeroes ? Nbd.FLAG_NO_ZEROES : 0));
        if (!fixed && tls) {
            return fail(ErrorKind.UNSUPPORTED, "the server is too old for TLS, and nothing is said to it without");
        }
        if (!fixed) {
            if (purpose == Purpose.LIST) {
                return fail(ErrorKind.UNSUPPORTED, "the server cannot list its exports");
            }
            plan.add(new Question(Nbd.OPT_EXPORT_NAME, exportName));
            return ask();
        }
        if (tls) {
            plan.add(new Question(Nbd.OPT_STARTTLS, ""));
        }
        plan.add(new Question(Nbd.OPT_EXTENDED_HEADERS, ""));
        plan.add(new Question(Nbd.OPT_STRUCTURED_REPLY, ""));
        switch (purpose) {
            case USE -> {
                plan.add(new Question(Nbd.OPT_SET_META_CONTEXT, exportName));
                plan.add(new Question(Nbd.OPT_GO, exportName));
            }
            case ASK -> planReport(exportName);
            case LIST -> plan.add(new Question(Nbd.OPT_LIST, ""));
        }
        return ask();
    }

    /** Goes on after the handshake of TLS. */
    public Outcome secured() {
        secured = true;
        return ask();
    }

    private void planReport(String name) {
        plan.add(new Question(Nbd.OPT_LIST_META_CONTEXT, name));
        plan.add(new Question(Nbd.OPT_INFO, name));
    }

    // ---- questions

    private Outcome ask() {
        Question next = plan.poll();
        if (next == null) {
            output.u64(Nbd.OPTION_MAGIC).u32(Nbd.OPT_ABORT).u32(0);
            return Outcome.DONE;
        }
        asked = next;
        MessageBytes data = new MessageBytes();
        switch (next.option) {
            case Nbd.OPT_EXPORT_NAME -> data.raw(MessageBytes.utf8(next.name));
            case Nbd.OPT_STRUCTURED_REPLY -> {
                if (style.extended()) {
                    return ask();
                }
            }
            case Nbd.OPT_SET_META_CONTEXT, Nbd.OPT_LIST_META_CONTEXT -> {
                if (!style.chunks()) {
                    return ask();
                }
                contexts.clear();
                data.string(next.name);
                List<String> queries = next.option == Nbd.OPT_SET_META_CONTEXT ? wantedContexts : List.of();
                data.u32(queries.size());
                queries.forEach(data::string);
            }
            case Nbd.OPT_INFO, Nbd.OPT_GO -> {
                report = ExportReport.named(next.name);
                reported = false;
                data.string(next.name).u16(3);
                data.u16(Nbd.INFO_NAME).u16(Nbd.INFO_DESCRIPTION).u16(Nbd.INFO_BLOCK_SIZE);
            }
            default -> {}
        }
        byte[] bytes = data.take();
        output.u64(Nbd.OPTION_MAGIC).u32(next.option).u32(bytes.length).raw(bytes);
        return Outcome.CONTINUE;
    }

    // ---- answers

    private Outcome reply(int type, byte[] bytes) {
        OptionData data = new OptionData(bytes);
        if (type < 0) {
            return refused(type, bytes);
        }
        switch (type) {
            case Nbd.REP_ACK -> {
                return acknowledged();
            }
            case Nbd.REP_SERVER -> {
                String name = data.string(data.u32());
                if (asked.option == Nbd.OPT_LIST && !data.malformed()) {
                    planReport(name);
                }
            }
            case Nbd.REP_META_CONTEXT -> {
                int id = (int) data.u32();
                String name = data.string(data.remaining());
                contexts.add(name);
                if (asked.option == Nbd.OPT_SET_META_CONTEXT && !data.malformed() && !select(id, name)) {
                    return fail(ErrorKind.CORRUPT, "the server selects a context that was not asked for");
                }
            }
            case Nbd.REP_INFO -> report = info(data);
            default -> {
                return fail(ErrorKind.CORRUPT, "the server's answer makes no sense");
            }
        }
        return data.malformed() ? fail(ErrorKind.CORRUPT, "the server's answer is malformed") : Outcome.CONTINUE;
    }

    private boolean select(int id, String name) {
        for (SessionTerms.Context other : selected) {
            if (other.id() == id || other.name().equals(name)) {
                return false;
            }
        }
        selected.add(new SessionTerms.Context(id, name));
        return wantedContexts.contains(name);
    }

    private ExportReport info(OptionData data) {
        return switch (data.u16()) {
            case Nbd.INFO_EXPORT -> {
                reported = true;
                yield report.withExport(data.u64(), data.u16());
            }
            case Nbd.INFO_NAME -> report.withName(data.string(data.remaining()));
            case Nbd.INFO_DESCRIPTION -> report.withDescription(data.string(data.remaining()));
            case Nbd.INFO_BLOCK_SIZE -> report.withBlockSizes(data.u32(), data.u32(), data.u32());
            default -> report;
        };
    }

    private Outcome acknowledged() {
        switch (asked.option) {
            case Nbd.OPT_STARTTLS -> {
                return Outcome.START_TLS;
            }
            case Nbd.OPT_EXTENDED_HEADERS -> style = ReplyStyle.EXTENDED;
            case Nbd.OPT_STRUCTURED_REPLY -> style = ReplyStyle.STRUCTURED;
            case Nbd.OPT_GO, Nbd.OPT_INFO -> {
                if (!reported) {
                    return fail(ErrorKind.CORRUPT, "the server does not say how large the export is");
                }
                if (asked.option == Nbd.OPT_GO) {
                    return agree();
                }
                reports.add(report.withContexts(List.copyOf(contexts)));
                contexts.clear();
            }
            default -> {}
        }
        return ask();
    }

    private Outcome refused(int type, byte[] text) {
        boolean unsupported = type == Nbd.REP_ERR_UNSUP;
        switch (asked.option) {
            case Nbd.OPT_STARTTLS -> {
                return fail(ErrorKind.UNSUPPORTED, "the server has no TLS, and nothing is said to it without");
            }
            case Nbd.OPT_SET_META_CONTEXT,
                    Nbd.OPT_LIST_META_CONTEXT,
                    Nbd.OPT_EXTENDED_HEADERS,
                    Nbd.OPT_STRUCTURED_REPLY -> {
                contexts.clear();
                selected.clear();
                if (type != Nbd.REP_ERR_TLS_REQD && type != Nbd.REP_ERR_SHUTDOWN) {
                    return ask();
                }
            }
            case Nbd.OPT_GO, Nbd.OPT_INFO -> {
                if (unsupported && purpose != Purpose.LIST && !style.extended()) {
                    plan.clear();
                    plan.add(new Question(Nbd.OPT_EXPORT_NAME, asked.name));
                    return ask();
                }
                if (purpose == Purpose.LIST) {
                    // It went away between the list and the question, or is not for us: named, and nothing else.
                    reports.add(ExportReport.named(asked.name));
                    return ask();
                }
            }
            default -> {}
        }
        String why = printable(new String(text, StandardCharsets.UTF_8));
        return switch (type) {
            case Nbd.REP_ERR_UNKNOWN ->
                fail(ErrorKind.NOT_FOUND, "the server has no export \"" + printable(asked.name) + "\"");
            case Nbd.REP_ERR_TLS_REQD ->
                fail(ErrorKind.UNSUPPORTED, "the server insists on TLS: use a URI that begins with nbds");
            case Nbd.REP_ERR_SHUTDOWN -> fail(ErrorKind.UNAVAILABLE, "the server is shutting down");
            case Nbd.REP_ERR_POLICY -> fail(ErrorKind.ACCESS, "the server's policy forbids it" + tail(why));
            case Nbd.REP_ERR_UNSUP -> fail(ErrorKind.UNSUPPORTED, "the server does not support this" + tail(why));
            default -> fail(ErrorKind.INVALID, "the server refuses" + tail(why));
        };
    }

    private Outcome exportName(ByteBuffer input) {
        int bytes = noZeroes ? 10 : 134;
        if (input.remaining() < bytes) {
            return Outcome.CONTINUE;
        }
        report = ExportReport.named(asked.name).withExport(input.getLong(), Short.toUnsignedInt(input.getShort()));
        input.position(input.position() + bytes - 10);
        if (purpose != Purpose.USE) {
            reports.add(report);
            return Outcome.DONE;
        }
        return agree();
    }

    private Outcome agree() {
        String flaw = report.flaw(BLOCK_BYTES_MAX);
        if (flaw != null) {
            return fail(ErrorKind.CORRUPT, flaw);
        }
        terms = new SessionTerms(report.facts(), style, selected);
        return Outcome.TRANSMISSION;
    }

    private Outcome fail(ErrorKind kind, String why) {
        failureKind = kind;
        failure = why;
        return Outcome.FAILED;
    }

    private static String tail(String why) {
        return why.isEmpty() ? "" : ": " + why;
    }

    /** What others wrote, made fit for one line of a terminal. */
    public static String printable(String text) {
        int[] kept = text.codePoints()
                .limit(200)
                .map(c -> Character.isISOControl(c) || Character.getType(c) == Character.FORMAT ? '?' : c)
                .toArray();
        return new String(kept, 0, kept.length);
    }
}
