package dev.ferry.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class NbdUriTest {
    @Test
    void theExamplesOfTheSpecificationAreUnderstood() throws Exception {
        assertThat(NbdUri.parse("nbd://example.com/disk")).isEqualTo(new NbdUri.Tcp("example.com", 10809, "disk"));
        assertThat(NbdUri.parse("nbd://example.com:10810")).isEqualTo(new NbdUri.Tcp("example.com", 10810, ""));
        assertThat(NbdUri.parse("nbd://example.com//disk").exportName()).isEqualTo("/disk");
        assertThat(NbdUri.parse("nbd://example.com/hello%20world").exportName()).isEqualTo("hello world");
        assertThat(NbdUri.parse("nbd://[::1]:1234/x")).isEqualTo(new NbdUri.Tcp("::1", 1234, "x"));
        assertThat(NbdUri.parse("nbd+unix:///disk?socket=/run/a.sock"))
                .isEqualTo(new NbdUri.Unix(Path.of("/run/a.sock"), "disk"));
        assertThat(NbdUri.parse("nbd+unix:///?socket=relative+name%20x"))
                .isEqualTo(new NbdUri.Unix(Path.of("relative+name x"), ""));
    }

    @Test
    void whatIsSaidOfTlsIsUnderstood() throws Exception {
        NbdUri.Tls all = new NbdUri.Tls("other", false, Path.of("/pki"));
        String text = "tls-type=x509&tls-hostname=other&tls-verify-peer=0&tls-certificates=/pki";
        assertThat(NbdUri.parse("nbds://h/x?" + text)).isEqualTo(new NbdUri.Tcp("h", 10809, "x", all));
        assertThat(NbdUri.parse("nbds+unix:///x?socket=/a&" + text))
                .isEqualTo(new NbdUri.Unix(Path.of("/a"), "x", all));
        assertThat(NbdUri.parse("nbds://h/x").tls()).isEqualTo(new NbdUri.Tls(null, true, null));
        assertThat(NbdUri.parse("nbd://h/x").tls()).isNull();
    }

    @Test
    void whatIsSaidOfKeysIsUnderstood() throws Exception {
        NbdUri.Tls alice = new NbdUri.Tls(null, true, null, new NbdUri.Psk(Path.of("/keys"), "al:ice"));
        NbdUri.Tls anybody = new NbdUri.Tls(null, true, null, new NbdUri.Psk(Path.of("/keys"), null));
        assertThat(NbdUri.parse("nbds://al%3Aice@h/x?tls-psk-file=/keys"))
                .isEqualTo(new NbdUri.Tcp("h", 10809, "x", alice));
        assertThat(NbdUri.parse("nbds+unix://al:ice@/x?socket=/a&tls-type=psk&tls-psk-file=/keys"))
                .isEqualTo(new NbdUri.Unix(Path.of("/a"), "x", alice));
        assertThat(NbdUri.parse("nbds://h/x?tls-psk-file=/keys").tls()).isEqualTo(anybody);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "nbd://h/a%20b",
                "nbd://[::1]:99/",
                "nbd+unix:///%C3%A4%3F%26?socket=/a%20b/c%2Bd",
                "nbd://h/",
                "nbds://h:99/x",
                "nbds://h/x?tls-hostname=b%26c&tls-verify-peer=0",
                "nbds+unix:///x?socket=/a&tls-hostname=c&tls-certificates=/b%20c",
                "nbds://h/x?tls-psk-file=/keys",
                "nbds://al%3Aice%40home@h/x?tls-psk-file=/keys",
                "nbds+unix://alice@/x?socket=/a&tls-psk-file=/keys"
            })
    void whatIsWrittenIsReadBackAsItWas(String text) throws Exception {
        NbdUri uri = NbdUri.parse(text);
        assertThat(NbdUri.parse(uri.toString())).isEqualTo(uri);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "disk.raw",
                "nbd:host:10809",
                "nbd:///disk",
                "http://host/x",
                "nbd+unix:///x",
                "nbd+unix:///x?socket=",
                "nbd+unix:///x?socket=/a&tls-type=x",
                "nbd+unix:///x?socket=%00/abstract",
                "nbd://h/a%00b",
                "nbds://host/disk?tls-type=psk",
                "nbds://host/disk?tls-type=x509&tls-psk-file=/a",
                "nbds://host/disk?tls-type=anon",
                "nbds://host/disk?tls-psk-file=/a&tls-certificates=/b",
                "nbds://%zz@host/disk?tls-psk-file=/a",
                "nbds://host/disk?tls-verify-peer=yes",
                "nbds://host/disk?tls-hostname=a&tls-hostname=b",
                "nbds://host/disk?socket=/a",
                "nbd://host/disk?tls-hostname=a",
                "nbdx://host/disk",
                "nbd://h/x?y=z",
                "nbd://h h/"
            })
    void whatIsNoneIsRefusedInOneLine(String text) {
        assertThatThrownBy(() -> NbdUri.parse(text))
                .isInstanceOf(BlockException.class)
                .message()
                .doesNotContain("\n")
                .contains(" failed: ");
    }
}
