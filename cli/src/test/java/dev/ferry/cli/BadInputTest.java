package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Wrong input: one clear line, the right exit status, and nothing changed. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(120)
final class BadInputTest {
    private final FerryHost host = start();

    private static FerryHost start() {
        try {
            return FerryHost.started();
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
    }

    @BeforeAll
    void oneDisk() {
        host.run("disk", "create", "disk", "--datastore", "fast", "--size", "1M")
                .done();
    }

    @AfterAll
    void stop() throws IOException {
        host.close();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '"',
            value = {
                // wrong usage
                "2 | nonsense                                                    | nonsense",
                "2 | disk                                                        | see 'ferry disk --help'",
                "2 | disk nonsense                                               | nonsense",
                "2 | disk create x --datastore fast                              | --size",
                "2 | disk create x --datastore fast --size ten                   | 'ten' is not a size",
                "2 | disk create x --datastore fast --size 0                     | from 512 bytes",
                "2 | disk create x --datastore fast --size 1000                  | multiple of 512",
                "2 | disk create a/b --datastore fast --size 1M                  | no name for a disk",
                "2 | disk create ../b --datastore fast --size 1M                 | no name for a disk",
                "2 | disk create .. --datastore fast --size 1M                   | no name for a disk",
                "2 | disk create x --datastore fa/st --size 1M                   | no name for a datastore",
                "2 | disk create x --datastore fast --size 1M --format floppy    | floppy",
                "2 | disk create x --datastore fast --size 1M --provisioning fat | fat",
                "2 | datastore add a/b --path /tmp                               | no name for a datastore",
                "2 | datastore add x --kind nfs --path /tmp                      | 'nfs'",
                "2 | migrate disk --to slow --mode xcopy                         | 'xcopy' is not in this version",
                "2 | migrate disk --to slow --format floppy                      | floppy",
                "2 | migrate disk --to slow --rate fast                          | 'fast' is not a rate",
                "2 | migrate disk --to slow --max-added-latency -1               | between 0 and",
                "2 | migrate disk --to slow --max-added-latency soon             | 'soon'",
                "2 | migrate disk --to slow --min-rate 4M                        | bound that too",
                "2 | migrate disk                                                | --to",
                "2 | migrate disk --to sl/ow                                     | no name for a datastore",
                "2 | migrate di/sk --to slow                                     | no name for a disk",
                "2 | migrate disk --to slow --grace soon                         | 'soon' is not a time",
                "2 | migration rollback                                          | ID",
                "2 | disk attach disk --tcp nowhere                              | HOST:PORT",
                "2 | disk attach disk --tcp 127.0.0.1:99999                      | HOST:PORT",
                "2 | disk bitmap add disk x --granularity 1000                   | power of two",
                "2 | disk bitmap add disk x --granularity 2G                     | power of two",
                "2 | disk bitmap add di/sk x                                     | no name for a disk",
                "1 | disk bitmap add none x                                      | there is no disk none",
                "1 | disk bitmap ls none                                         | there is no disk none",
                "1 | disk bitmap remove disk x                                   | has no bitmap x",
                "2 | serve --loop kqueue                                         | kqueue",
                "2 | serve --direct --cached                                     | exclude each other",
                // not there, or not possible
                "1 | migration rollback m7                                       | none of that id",
                "1 | disk show none                                              | there is no disk none",
                "1 | disk attach none                                            | there is no disk none",
                "1 | disk detach none                                            | there is no disk none",
                "1 | disk detach disk                                            | not attached",
                "1 | disk rm none                                                | there is no disk none",
                "1 | disk create disk --datastore fast --size 1M                 | there is a disk disk already",
                "1 | disk create x --datastore none --size 1M                    | datastore none",
                "1 | disk create x --datastore fast --size 60T --provisioning lazy | free",
                "1 | disk import x --datastore fast --from /does/not/exist       | /does/not/exist",
                "1 | disk import x --datastore fast --from /tmp                  | /tmp",
                "1 | datastore show none                                         | there is no datastore none",
                "1 | datastore rm none                                           | there is no datastore none",
                "1 | datastore rm fast                                           | holds 1 disk",
                "1 | datastore add fast --path /tmp                              | there already",
                "1 | datastore add x --path /does/not/exist                      | does not exist",
                "1 | datastore add x --path /etc/passwd                          | not a directory",
                "1 | datastore add x --path /proc                                | /proc",
                "1 | migrate none --to slow                                      | none",
                "1 | migrate disk --to none                                      | none",
                "1 | migrate disk --to fast                                      | fast",
                "1 | migration show m99                                          | m99",
                "1 | migration cancel m99                                        | m99",
                "1 | migration rate m99 1M                                       | m99"
            })
    void isRefusedInOneLine(int status, String command, String words) {
        String before = host.run("disk", "ls", "--json").done().out();
        host.run(command.split(" ")).failed(status, words);
        assertThat(host.run("disk", "ls", "--json").done().out()).isEqualTo(before);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '"',
            value = {
                "1 | nbd info nbd+unix:///x?socket=/does/not/exist | /does/not/exist",
                "1 | nbd info http://example.org/                  | nbd://",
                "1 | nbd copy /does/not/exist /tmp/ferry-none      | /does/not/exist",
                "1 | nbd serve /does/not/exist --socket /tmp/ferry-none | /does/not/exist",
                "2 | nbd serve /tmp/x --socket /tmp/y --port 1     | exclude each other",
                "2 | nbd serve /tmp/x --format floppy              | floppy",
                "2 | nbd serve /tmp/x --tls sometimes              | require",
                "2 | nbd serve /tmp/x --tls require                | --tls-certificates",
                "2 | nbd serve /tmp/x --tls-client vm7             | --tls-certificates",
                "1 | nbd serve /tmp/x --tls-psk /none              | /none",
                "2 | nbd serve /tmp/x --tls-psk a --tls-certificates b | not both",
                "1 | nbd serve /tmp/x --tls-certificates /none     | /none/ca-cert.pem",
                "2 | nbd serve /tmp/x --shared -1                  | --shared",
                "2 | nbd serve /tmp/x --table-memory 1K            | 256K to 16G",
                "2 | serve --table-memory 17G                      | 256K to 16G",
                "2 | nbd serve /tmp/x --offset much                | much",
                "2 | nbd info --map --list nbd://h/x               | choose one",
                "1 | nbd info nbds://127.0.0.1:1/x?tls-type=psk    | tls-psk-file",
                "2 | nbd copy - -                                  | stream",
                "2 | nbd copy --connections 0 nbd://h/x y          | --connections",
                "2 | nbd copy onlyone                              | TARGET",
                "2 | demo --size 1M                                | --size",
                "1 | demo --dir /does/not/exist                    | /does/not/exist"
            })
    void toolsRefuseInOneLineToo(int status, String command, String words) {
        FerryHost.bare(command.split(" ")).failed(status, words);
    }

    @Test
    void aPathThatCannotBeWrittenIsNoDatastore() throws IOException {
        Path readOnly = Path.of("/sys");
        host.run("datastore", "add", "x", "--path", readOnly.toString()).failed(1, "/sys");
        Path inside = Files.createDirectories(host.directory.resolve("fast/inside"));
        host.run("datastore", "add", "x", "--path", inside.toString()).failed(1, "fast");
        Files.delete(inside);
    }

    @Test
    void aSecondDaemonOnADirectoryIsRefused() throws Exception {
        Process second = new ProcessBuilder(
                        Installation.command(Self.Part.SUPERVISOR, List.of("serve", "--data", host.data.toString())))
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        String err = new String(second.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(second.waitFor(90, TimeUnit.SECONDS)).isTrue();
        new FerryHost.Result(second.exitValue(), "", err).failed(1, "another ferry daemon", host.data.toString());
        host.run("disk", "ls").done();
    }

    @Test
    void aDamagedInventoryIsRefusedAndLeftAlone() throws Exception {
        try (FerryHost other = new FerryHost()) {
            Files.createDirectories(other.data);
            Path inventory = Files.write(other.data.resolve("inventory.db"), new byte[5000]);
            Process process = new ProcessBuilder(Installation.command(
                            Self.Part.SUPERVISOR, List.of("serve", "--data", other.data.toString())))
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            String err = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
            assertThat(process.waitFor(90, TimeUnit.SECONDS)).isTrue();
            new FerryHost.Result(process.exitValue(), "", err).failed(1, inventory.toString(), "damaged");
            assertThat(inventory).hasBinaryContent(new byte[5000]);
        }
    }

    @Test
    void withoutADaemonTheLineSaysHowToStartOne() throws IOException {
        try (FerryHost other = new FerryHost()) {
            other.run("disk", "ls").failed(1, "no ferry daemon at " + other.data, "ferry serve --data " + other.data);
        }
    }

    @Test
    void aDataDirectoryThatCannotBeIsRefused() {
        FerryHost.bare("serve", "--data", "/proc/ferry").failed(1, "/proc/ferry", "--data");
        FerryHost.bare("serve", "--data", "/etc/passwd").failed(1, "/etc/passwd", "--data");
        FerryHost.bare("serve", "--data", "/tmp/" + "long/".repeat(30)).failed(1, "shorter", "--data");
    }
}
