package dev.ferry.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.server.api.ImportStatus;
import org.junit.jupiter.api.Test;

/** How far imports are, as it is told to whoever asks. */
class ImportsTest {
    @Test
    void disksOfOneImportCountTogetherAfterItsDigests() throws Exception {
        Imports imports = new Imports();
        assertThatThrownBy(() -> imports.status("web")).hasMessageContaining("no import of web");
        try (Imports.Progress progress = imports.begin("web")) {
            progress.verified(30, 100);
            assertThat(imports.status("web")).isEqualTo(new ImportStatus("verifying", 30, 100));
            progress.copying(1000);
            long[] copied = {0};
            progress.disk(() -> copied[0]);
            copied[0] = 250;
            assertThat(imports.status("web")).isEqualTo(new ImportStatus("copying", 250, 1000));
            progress.diskDone(400);
            assertThat(imports.status("web")).isEqualTo(new ImportStatus("copying", 400, 1000));
            progress.disk(() -> 600);
            assertThat(imports.status("web")).isEqualTo(new ImportStatus("copying", 1000, 1000));
        }
        assertThatThrownBy(() -> imports.status("web")).hasMessageContaining("no import of web");
    }
}
