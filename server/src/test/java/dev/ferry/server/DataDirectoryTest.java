package dev.ferry.server;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Where a daemon's data is, by what the environment says. */
class DataDirectoryTest {
    private static Path standard(Map<String, String> environment) {
        return DataDirectory.standard(environment).path();
    }

    @Test
    void itIsWhereItWasAskedForOrWhereUsersKeepTheirData() {
        Map<String, String> all =
                Map.of("FERRY_DATA", "/data/ferry", "XDG_DATA_HOME", "/home/me/data", "HOME", "/home/me");
        assertThat(standard(all)).isEqualTo(Path.of("/data/ferry"));
        assertThat(standard(Map.of("XDG_DATA_HOME", "/home/me/data", "HOME", "/home/me")))
                .isEqualTo(Path.of("/home/me/data/ferry"));
        assertThat(standard(Map.of("HOME", "/home/me"))).isEqualTo(Path.of("/home/me/.local/share/ferry"));
    }

    @Test
    void whatIsNoPathIsPassedOver() {
        Path ofTheUser = Path.of(System.getProperty("user.home"), ".local/share/ferry");
        assertThat(standard(Map.of("FERRY_DATA", "", "XDG_DATA_HOME", "data", "HOME", "home")))
                .isEqualTo(ofTheUser);
        assertThat(standard(Map.of())).isEqualTo(ofTheUser);
    }
}
