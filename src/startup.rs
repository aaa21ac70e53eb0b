//! Starts the process: chooses the backend, wires everything up, and shuts it down in order.

mod backend;
mod lasting;
mod open_files;
mod work;

use std::{convert::Infallible, sync::Arc};

use actix_web::dev::{Server, ServerHandle};
use anyhow::{Context as _, bail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use self::backend::{backend, backend_with_clock, keys, maintenance};
use self::{backend::keys_in, lasting::Lasting};
use crate::{
    admin::{self, AdminState, ApiAccess},
    auth::{Auth, AuthMode, read_first_key},
    config::{self, Settings},
    http::{self, Listeners},
    listener::bind::SocketFile,
    maintenance::Maintenance,
    readiness::Readiness,
    service::Service,
    shutdown,
    stores::{self, Backend, Followers},
    systemd::Notifier,
    telemetry::{logging, metrics, worker_status::ProcessStatus, write_counters::WriteCounters},
    workers,
};

/// A process that serves requests and runs the workers.
pub struct Running {
    settings: config::Server,
    process: Arc<ProcessStatus>,
    notifier: Notifier,
    stop: CancellationToken,
    lasting: Lasting,
    http: (ServerHandle, JoinHandle<()>),
    admin: Option<ServerHandle>,
    workers: JoinHandle<()>,
    followers: Arc<Followers>,
    /// File of the unix socket, removed when this is dropped.
    socket: Option<SocketFile>,
}

/// Binds the listeners, then opens the stores, and starts to serve requests and to run the workers.
///
/// # Errors
///
/// An address that cannot be listened on; a file that cannot be opened, or that another process serves.
pub async fn start(settings: &Settings, migrate: bool) -> anyhow::Result<Running> {
    let connections = open_files::reserve(settings)?;
    let is_limited = connections < settings.server.connections;
    let settings = &Settings {
        server: config::Server {
            connections,
            ..settings.server.clone()
        },
        ..settings.clone()
    };
    let backend = backend(settings)?;
    let maintenance = Maintenance::new(backend.clone());
    let (process, counters) = (
        Arc::<ProcessStatus>::default(),
        Arc::<WriteCounters>::default(),
    );
    let stop = CancellationToken::new();
    let first_key = read_first_key(&settings.auth.first_key_file)?;
    let keys = keys_in(settings, &backend);
    let auth = Arc::new(Auth::new(&settings.auth, keys.clone(), first_key));
    let service = Arc::new(Service::new(backend.clone(), counters.clone()));
    let readiness = Arc::new(Readiness::new(backend.clone(), process.clone()));
    let mut listeners = Listeners::bind(&settings.server).context("cannot listen")?;
    let socket = listeners.file.take();
    let server = http::serve(
        settings,
        listeners,
        service,
        readiness.clone(),
        auth.clone(),
    )
    .context("cannot listen")?;
    let state = AdminState::new(
        maintenance.clone(),
        process.clone(),
        readiness,
        counters.clone(),
        ApiAccess {
            keys,
            mode: auth.mode(),
            reachable_address: settings.server.reachable_address().map(str::to_owned),
        },
        stop.clone(),
    );
    let admin =
        admin::serve(&settings.admin, &settings.server, state.clone()).with_context(|| {
            let admin = &settings.admin;
            format!(
                "cannot listen on {}, port {} (admin.host, admin.port; port 0 disables it)",
                admin.host, admin.port
            )
        })?;
    let migrates = open(&backend, migrate).await?;
    if is_limited {
        warn!(
            connections,
            "Limit of open files is too low for server.connections; fewer connections are accepted: raise it (ulimit -n, LimitNOFILE)"
        );
    }

    tokio::spawn(metrics::keep_up());
    let lasting = Lasting::new(stop.clone());
    let http = (server.handle(), lasting.spawn("the API's server", server));
    let admin_handle = admin.as_ref().map(Server::handle);
    if let Some(server) = admin {
        lasting.spawn("the admin listener's server", server);
        tokio::spawn(state.keep_history());
    }
    let (watched, until) = (backend.clone(), stop.clone());
    lasting.spawn("the reader of last revisions", async move {
        watched.watch_followed(until).await;
        Ok::<(), Infallible>(())
    });
    let followers = backend.followers().clone();
    if auth.mode() == AuthMode::Required {
        let run = auth.run(stop.clone());
        lasting.spawn("the reader of revocations", async move {
            run.await;
            Ok::<(), Infallible>(())
        });
    }
    let notifier = Notifier::new(process.clone());
    // Ready to serve requests, even if a store is still unavailable, which /readyz reports.
    notifier.ready();
    let context = workers::Context {
        backend,
        maintenance,
        counters,
        settings: settings.workers.clone(),
        messages_age: settings.retention.messages_age(),
        process: process.clone(),
        stop: stop.clone(),
    };
    Ok(Running {
        settings: settings.server.clone(),
        process,
        notifier,
        stop,
        http,
        admin: admin_handle,
        workers: lasting.spawn("the workers", async move {
            work::run(context, migrates).await;
            Ok::<(), Infallible>(())
        }),
        lasting,
        followers,
        socket,
    })
}

/// Opens a file. Returns true if the migration must run later, once the database is reachable.
async fn open(backend: &Backend, migrate: bool) -> stores::Result<bool> {
    let Backend::Embedded(file) = backend else {
        return Ok(migrate);
    };
    file.serve_exclusively()?;
    // A file is there or it is not: waiting for it to come up would only hide what is wrong.
    if migrate {
        file.migrate().await?;
    }
    file.begin_history().await?;
    file.watch()?;
    info!(path = file.path(), "Opened the data file");
    Ok(false)
}

impl Running {
    /// Waits for a signal, then finishes open requests and batches.
    ///
    /// # Errors
    ///
    /// Signals that cannot be listened for. A server or the workers ended without a signal: what still works was finished.
    pub async fn wait(self) -> anyhow::Result<()> {
        let failed = tokio::select! {
            requested = shutdown::requested() => {
                requested?;
                info!("Shutting down; open requests and batches are being finished");
                None
            }
            part = self.lasting.ended() => {
                error!(part, "A part of the process ended unexpectedly; shutting down, because the process cannot work without it");
                Some(part)
            }
        };
        self.process.end();
        self.notifier.stopping();
        self.stop.cancel();
        let limit = self.settings.shutdown_timeout;
        let code = tokio::select! {
            () = self.finish() => {
                if let Some(part) = failed {
                    bail!("{part} ended unexpectedly");
                }
                info!("Shutdown complete");
                return Ok(());
            }
            () = tokio::time::sleep(limit) => {
                warn!("Shutdown timed out; unfinished batches are recovered when their leases expire");
                i32::from(failed.is_some())
            }
            _ = shutdown::requested() => {
                warn!("Shutdown aborted by a second signal; unfinished batches are recovered when their leases expire");
                1
            }
        };
        // Nothing more is waited for, not even a disk that does not answer.
        logging::end();
        std::process::exit(code)
    }

    async fn finish(self) {
        tokio::time::sleep(self.settings.drain).await;
        self.followers.end();
        let (handle, serving) = self.http;
        handle.stop(true).await;
        let _ = self.workers.await;
        let _ = serving.await;
        drop(self.socket);
        // Stopped last, so that operators can observe the shutdown.
        if let Some(admin) = self.admin {
            admin.stop(true).await;
        }
    }
}
