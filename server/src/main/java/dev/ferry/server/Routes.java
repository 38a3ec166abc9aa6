package dev.ferry.server;

import dev.ferry.migration.MigrationEngine;
import dev.ferry.migration.chain.ChainJobs;
import dev.ferry.server.api.ApplianceImport;
import dev.ferry.server.api.AttachRequest;
import dev.ferry.server.api.BitmapAdd;
import dev.ferry.server.api.ChainRequest;
import dev.ferry.server.api.DaemonView;
import dev.ferry.server.api.DatastoreAdd;
import dev.ferry.server.api.DiskCreate;
import dev.ferry.server.api.DiskImport;
import dev.ferry.server.api.DiskOverlay;
import dev.ferry.server.api.MigrateRequest;
import dev.ferry.server.api.ModeRequest;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.RateRequest;
import dev.ferry.server.rest.Router;
import org.jspecify.annotations.Nullable;

/** The table of the REST interface; README.md has it in words. */
final class Routes {
    private Routes() {}

    /** What the daemon itself answers. */
    interface Self {
        DaemonView view();

        void restart() throws ProblemException;
    }

    static Router of(
            Self daemon,
            Datastores datastores,
            Disks disks,
            DiskMaker maker,
            Appliances appliances,
            Imports imports,
            BitmapCommands bitmaps,
            Moves moves,
            MigrationEngine engine,
            Chains chains,
            ChainJobs jobs,
            OverlayMaker overlays) {
        Router r = new Router();
        r.add("GET", "/v1/daemon", "the daemon itself", _ -> daemon.view());
        r.add("POST", "/v1/daemon/restart", "hand over to a new daemon", _ -> {
            daemon.restart();
            return daemon.view();
        });

        r.add("GET", "/v1/datastores", "all datastores", _ -> datastores.list());
        r.add("POST", "/v1/datastores", "add one", q -> datastores.add(q.body(DatastoreAdd.class)));
        r.add("GET", "/v1/datastores/{name}", "one of them", q -> datastores.show(q.name()));
        r.add("DELETE", "/v1/datastores/{name}", "forget one; its path is left alone", q -> {
            moves.refuseIfNeeded(q.name());
            datastores.remove(q.name());
            return null;
        });

        r.add("GET", "/v1/disks", "all disks", _ -> disks.list());
        r.add("POST", "/v1/disks", "make one", q -> maker.create(q.body(DiskCreate.class)));
        r.add("POST", "/v1/disks/import", "make one from a file", q -> maker.importFile(q.body(DiskImport.class)));
        r.add("POST", "/v1/disks/overlay", "make one over a file", q -> {
            return disks.show(overlays.make(q.body(DiskOverlay.class)));
        });
        r.add(
                "POST",
                "/v1/disks/import-appliance",
                "make them of the disks of an appliance",
                q -> appliances.importDisks(q.body(ApplianceImport.class)));
        r.add("GET", "/v1/disks/{name}/import", "how far its import is", q -> imports.status(q.name()));
        r.add("GET", "/v1/disks/{name}", "one of them", q -> disks.show(q.name()));
        r.add("DELETE", "/v1/disks/{name}", "delete one", q -> {
            disks.remove(q.name());
            return null;
        });
        r.add("POST", "/v1/disks/{name}/attach", "open it for a VM", q -> {
            @Nullable String tcp = q.body(AttachRequest.class).tcp();
            return disks.attach(q.name(), tcp);
        });
        r.add("POST", "/v1/disks/{name}/detach", "close it", q -> {
            disks.detach(q.name());
            return null;
        });

        r.add("GET", "/v1/disks/{name}/bitmaps", "its dirty bitmaps", q -> bitmaps.list(q.name()));
        r.add("POST", "/v1/disks/{name}/bitmaps", "add one", q -> bitmaps.add(q.name(), q.body(BitmapAdd.class)));
        r.add("DELETE", "/v1/disks/{name}/bitmaps/{bitmap}", "remove one", q -> {
            bitmaps.remove(q.name(), q.secondName());
            return null;
        });
        r.add("POST", "/v1/disks/{name}/bitmaps/{bitmap}/clear", "nothing is dirty in it", q -> {
            return bitmaps.clear(q.name(), q.secondName());
        });
        r.add("POST", "/v1/disks/{name}/commit", "put its upper layers into one below", q -> {
            return chains.commit(q.name(), q.body(ChainRequest.class));
        });
        r.add("POST", "/v1/disks/{name}/stream", "take over what lies below it", q -> {
            return chains.stream(q.name(), q.body(ChainRequest.class));
        });
        r.add("GET", "/v1/jobs", "the jobs on chains, one for a disk", _ -> jobs.list());
        r.add("GET", "/v1/jobs/{disk}", "one of them", q -> chains.find(q.name()));
        r.add("POST", "/v1/jobs/{disk}/cancel", "call it off", q -> jobs.cancel(q.name()));
        r.add("POST", "/v1/jobs/{disk}/rate", "bound its copying", q -> {
            return chains.rate(q.name(), q.body(RateRequest.class).bytesPerSecond());
        });

        r.add("GET", "/v1/migrations", "all migrations", _ -> engine.list());
        r.add("POST", "/v1/migrations", "start one", q -> moves.start(q.body(MigrateRequest.class)));
        r.add(
                "POST",
                "/v1/migrations/plan",
                "how one would go, tried out",
                q -> moves.rehearse(q.body(MigrateRequest.class)));
        r.add("GET", "/v1/migrations/{id}", "one of them", q -> engine.find(q.name()));
        r.add("GET", "/v1/migrations/{id}/receipt", "what it did, and what proves it", q -> engine.receipt(q.name()));
        r.add("POST", "/v1/migrations/{id}/pause", "stop copying", q -> engine.pause(q.name()));
        r.add("POST", "/v1/migrations/{id}/resume", "go on", q -> engine.resume(q.name()));
        r.add("POST", "/v1/migrations/{id}/cancel", "call it off", q -> engine.cancel(q.name()));
        r.add("POST", "/v1/migrations/{id}/commit", "close the way back", q -> engine.commit(q.name()));
        r.add("POST", "/v1/migrations/{id}/rollback", "take the guests back", q -> engine.rollback(q.name()));
        r.add("POST", "/v1/migrations/{id}/verify", "compare its sides now", q -> engine.verify(q.name()));
        r.add("POST", "/v1/migrations/{id}/rate", "bound its copying", q -> {
            return engine.rate(q.name(), q.body(RateRequest.class).bytesPerSecond());
        });
        r.add("POST", "/v1/migrations/{id}/mode", "go on by another strategy", q -> {
            return moves.mode(q.name(), q.body(ModeRequest.class));
        });
        return r;
    }
}
