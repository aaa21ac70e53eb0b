//! A private certificate authority, and a proxy that speaks TLS to the program and plain text to a server.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use url::Url;

/// A certificate authority. Its files are in the folder of the test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    name: String,
}

/// A certificate and its private key, as PEM files.
pub struct Identity {
    /// Path of the certificate.
    pub cert: String,
    /// Path of the key.
    pub key: String,
}

impl Authority {
    /// Makes an authority with a key of its own.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let authority = Self {
            issuer,
            folder: folder.into(),
            name: name.into(),
        };
        fs::write(authority.file(), authority.issuer.pem()).expect("the folder takes files");
        authority
    }

    /// Path of its own certificate.
    pub fn file(&self) -> String {
        path(&self.folder, &format!("{}.pem", self.name))
    }

    /// Issues a certificate to a server with this host name or address.
    pub fn server(&self, host: &str) -> Identity {
        self.issue(
            params(host, &[host]),
            ExtendedKeyUsagePurpose::ServerAuth,
            "server",
        )
    }

    /// Issues a certificate to a client.
    pub fn client(&self) -> Identity {
        self.issue(
            params("confab", &[]),
            ExtendedKeyUsagePurpose::ClientAuth,
            "client",
        )
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
        role: &str,
    ) -> Identity {
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("issued");
        let file = |end| path(&self.folder, &format!("{}-{role}-{end}.pem", self.name));
        let identity = Identity {
            cert: file("cert"),
            key: file("key"),
        };
        fs::write(&identity.cert, certificate.pem()).expect("the folder takes files");
        fs::write(&identity.key, key.serialize_pem()).expect("the folder takes files");
        identity
    }
}

fn params(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts).expect("valid names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// A proxy with a certificate. Clients must have one of the same authority.
pub struct TlsProxy {
    /// Its port on 127.0.0.1.
    pub port: u16,
    received: Arc<Mutex<Vec<u8>>>,
    serving: JoinHandle<()>,
}

impl TlsProxy {
    /// Starts the proxy before the server at this URL.
    pub async fn start(target: &str, authority: &Authority, identity: &Identity) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let issuer = CertificateDer::from_pem_file(authority.file()).expect("a certificate");
        roots.add(issuer).expect("a valid certificate");
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .expect("a verifier");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![CertificateDer::from_pem_file(&identity.cert).expect("a certificate")],
                PrivateKeyDer::from_pem_file(&identity.key).expect("a key"),
            )
            .expect("a matching key");
        let target = Url::parse(target).expect("the store's URL is valid");
        let target = (
            target.host_str().expect("a host").to_owned(),
            target.port().expect("a port"),
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let received = Arc::<Mutex<Vec<u8>>>::default();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serving = tokio::spawn(serve(listener, acceptor, target, received.clone()));
        Self {
            port,
            received,
            serving,
        }
    }

    /// What clients have sent so far, decrypted.
    pub fn received(&self) -> String {
        let received = self.received.lock().expect("nobody panicked");
        String::from_utf8_lossy(&received).into_owned()
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    target: (String, u16),
    received: Arc<Mutex<Vec<u8>>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let (acceptor, target, received) = (acceptor.clone(), target.clone(), received.clone());
        connections.spawn(async move {
            let near = acceptor.accept(near).await?;
            let far = TcpStream::connect(target).await?;
            let (mut near_read, mut near_write) = tokio::io::split(near);
            let (mut far_read, mut far_write) = far.into_split();
            let requests = async {
                let mut bytes = vec![0; 64 * 1024];
                loop {
                    let length = near_read.read(&mut bytes).await?;
                    if length == 0 {
                        return far_write.shutdown().await;
                    }
                    let sent = &bytes[..length];
                    received.lock().expect("nobody panicked").extend(sent);
                    far_write.write_all(sent).await?;
                }
            };
            let responses = async {
                copy(&mut far_read, &mut near_write).await?;
                near_write.shutdown().await
            };
            tokio::try_join!(requests, responses)?;
            Ok::<_, io::Error>(())
        });
        while connections.try_join_next().is_some() {}
    }
}
