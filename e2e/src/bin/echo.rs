//! The echo app as a program, for pods: `echo LISTEN` serves until it is ended, `echo resolve NAME`
//! prints the addresses of a name, as the pod's resolver sees them. It must not do more: it stands
//! for any app.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;

use vestibule_e2e::echo::Echo;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["resolve", name] => match (*name, 0).to_socket_addrs() {
            Ok(addresses) => {
                for address in addresses {
                    println!("{}", address.ip());
                }
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{name}: {error}");
                ExitCode::FAILURE
            }
        },
        [listen] => match listen.parse::<SocketAddr>() {
            Ok(address) => {
                let _echo = Echo::listen(address);
                loop {
                    std::thread::park();
                }
            }
            Err(error) => {
                eprintln!("{listen}: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: echo ADDRESS:PORT | echo resolve NAME");
            ExitCode::FAILURE
        }
    }
}
