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

    @ParameterizedTest
    @ValueSource(
            strings = {"nbd://h/a%20b", "nbd://[::1]:99/", "nbd+unix:///%C3%A4%3F%26?socket=/a%20b/c%2Bd", "nbd://h/"})
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
                "nbds://host/disk",
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
