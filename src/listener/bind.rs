//! Addresses and unix sockets that servers listen on.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs as _},
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Number of connections that the system keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// Listens on a port of each of these names and addresses. IPv6 addresses may be in brackets.
///
/// # Errors
///
/// An address that cannot be listened on; a name without an address of this machine.
pub fn tcp(hosts: &[String], port: u16) -> io::Result<Vec<TcpListener>> {
    let mut addresses = Vec::new();
    for host in hosts {
        let named = |error| io::Error::new(io::Error::kind(&error), format!("{host}: {error}"));
        let found = (unbracketed(host), port).to_socket_addrs();
        let found: Vec<SocketAddr> = found.map_err(named)?.collect();
        // `localhost` often has an IPv6 address where the system has no IPv6.
        let is_name = unbracketed(host).parse::<IpAddr>().is_err();
        addresses.extend(found.into_iter().map(|address| (address, is_name)));
    }
    let has_ipv4 = addresses.iter().any(|(address, _)| address.is_ipv4());
    let mut listeners = Vec::<TcpListener>::new();
    let mut known = Vec::new();
    let mut missing = None;
    for (address, is_name) in addresses {
        if known.contains(&address) {
            continue;
        }
        known.push(address);
        match listen(address, has_ipv4) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                let is_missing = matches!(
                    error.kind(),
                    io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
                );
                let error = io::Error::new(error.kind(), format!("{address}: {error}"));
                if !is_name || !is_missing {
                    return Err(error);
                }
                missing = Some(error);
            }
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// `::` includes IPv4, unless an IPv4 address is listened on besides.
fn listen(address: SocketAddr, has_ipv4: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if has_ipv4 && address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn unbracketed(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// File of a unix socket, which is removed when this is dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let file = fs::symlink_metadata(&self.path);
        if file.is_ok_and(|file| file.ino() == self.inode) {
            // A file that stays is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on a unix socket with these permissions. A file that a killed process left is replaced.
///
/// # Errors
///
/// A path that is something else than a socket; a socket that another process listens on.
pub fn unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let bound = bind_unix(path, mode);
    bound.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    if let Ok(file) = fs::symlink_metadata(path) {
        if !file.file_type().is_socket() {
            let error = "the file exists and is not a socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, error));
        }
        if UnixStream::connect(path).is_ok() {
            let error = "the socket is in use by another process";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, error));
        }
    }
    // Under another name until it has its permissions. Renaming replaces the file of a killed process.
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    if let Err(error) = fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
    let inode = fs::symlink_metadata(&new)?.ino();
    fs::rename(&new, path)?;
    let path = path.to_owned();
    Ok((listener, SocketFile { path, inode }))
}
