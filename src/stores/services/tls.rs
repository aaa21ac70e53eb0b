//! TLS to the stores: certificates from PEM files, checked at the start.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Once},
};

use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, KeyProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::{CertifiedKey, SigningKey},
};

use crate::stores::{Error, Result};

/// PEM files for the connections to one store. An empty path: none.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Certificates of the authorities that may have issued the server's.
    pub ca: PathBuf,
    /// Certificate of the client, then those of its issuers.
    pub cert: PathBuf,
    /// Private key of the client's certificate.
    pub key: PathBuf,
}

impl From<[&Path; 3]> for TlsFiles {
    /// Takes the paths in the order of the fields.
    fn from(files: [&Path; 3]) -> Self {
        let [ca, cert, key] = files.map(Path::to_path_buf);
        Self { ca, cert, key }
    }
}

/// Checked content of [`TlsFiles`].
#[derive(Default)]
pub(super) struct Tls {
    /// Certificates in PEM that are trusted. `None`: those of public authorities.
    pub ca: Option<Vec<u8>>,
    /// Certificate and key of the client.
    pub client: Option<ClientIdentity>,
}

/// Certificate and key of a client.
pub(super) struct ClientIdentity {
    /// Certificates in PEM.
    pub cert: Vec<u8>,
    /// Key in PEM.
    pub key: Vec<u8>,
    /// Key in DER.
    pub key_der: PrivateKeyDer<'static>,
}

impl Tls {
    /// Reads and checks the files. `prefix` begins the names of their settings: `services.mysql`.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, that holds nothing of its kind, or a key that does not belong to its certificate.
    pub fn read(store: &'static str, prefix: &str, files: &TlsFiles) -> Result<Self> {
        install_provider();
        let error = |end: &str, path: &Path, why: &dyn fmt::Display| Error::Failed {
            store,
            detail: format!("{prefix}_{end}_file: {}: {why}", path.display()),
        };
        let read = |end, path: &PathBuf| match path.as_os_str().is_empty() {
            true => Ok(None),
            false => fs::read(path)
                .map(Some)
                .map_err(|why| error(end, path, &why)),
        };
        let ca = read("ca", &files.ca)?;
        if let Some(pem) = &ca {
            let roots = certificates(pem).and_then(|certificates| {
                let mut roots = RootCertStore::empty();
                let added = certificates.into_iter().try_for_each(|c| roots.add(c));
                added.map_err(|why| why.to_string())
            });
            roots.map_err(|why| error("ca", &files.ca, &why))?;
        }
        let (cert, key) = (read("cert", &files.cert)?, read("key", &files.key)?);
        let client = match (cert, key) {
            (Some(cert), Some(key)) => {
                let chain = certificates(&cert).map_err(|why| error("cert", &files.cert, &why))?;
                // The error of the parser could quote the file.
                let key_der = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
                    error(
                        "key",
                        &files.key,
                        &"no private key in PEM, or an encrypted one",
                    )
                })?;
                CertifiedKey::from_der(chain, key_der.clone_key(), &provider()).map_err(|why| {
                    let why = format!(
                        "not the key of the certificate in {}: {why}",
                        files.cert.display()
                    );
                    error("key", &files.key, &why)
                })?;
                Some(ClientIdentity { cert, key, key_der })
            }
            _ => None,
        };
        Ok(Self { ca, client })
    }

    /// Tells whether a file is set.
    pub fn is_set(&self) -> bool {
        self.ca.is_some() || self.client.is_some()
    }
}

/// Parses certificates in PEM, at least one.
fn certificates(pem: &[u8]) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let parsed = CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<Vec<_>, _>>();
    match parsed {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err("no certificate in PEM".into()),
    }
}

/// Returns what to do about an error of a certificate; `otherwise` for other errors. `prefix` is that of [`Tls::read`].
pub(super) fn advice(error: &Error, prefix: &str, otherwise: &str) -> String {
    match error.to_string().to_lowercase().contains("certificate") {
        true => format!(
            "set {prefix}_ca_file to the certificate of the authority that issued the server's, {prefix}_cert_file and \
             {prefix}_key_file to a certificate that the server accepts, and use a host in {prefix}_url that the server's certificate names"
        ),
        false => otherwise.into(),
    }
}

/// Makes ring the cryptography of all TLS in this process, whatever a dependency enables besides.
fn install_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that the process, a test, has chosen another one.
        provider().install_default().ok();
    });
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        key_provider: &AnyFormat,
        ..ring::default_provider()
    }
}

/// Loads private keys by their content. `mysql_async` declares each key as PKCS #1, which few files hold today.
#[derive(Debug)]
struct AnyFormat;

impl KeyProvider for AnyFormat {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> std::result::Result<Arc<dyn SigningKey>, rustls::Error> {
        let key = PrivateKeyDer::try_from(key.secret_der().to_vec())
            .map_err(|why| rustls::Error::General(why.into()))?;
        ring::sign::any_supported_type(&key)
    }
}
