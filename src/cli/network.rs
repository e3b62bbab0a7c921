//! `network create`, `ls`, `inspect`, `rm`, `connect`, `disconnect`

use super::context::{Context, daemon_text, is_missing};
use super::error::{CommandError, Outcome};
use super::format::listing::{self, Columns, Row};
use super::format::moment;
use super::inspect::{FormatFlag, Printer};
use super::options::{kinds, value};
use super::parallel;
use crate::api::docker;
use crate::api::docker::schema::{Struct, Typed as _};
use crate::client::{Client, ClientError};
use crate::model::container::EndpointSpec;
use crate::model::mac::Mac;
use crate::model::network::{NetworkSummary, NetworkWish};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Create a network
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Auxiliary IPv4 addresses that are never given out
    #[arg(long, value_name = "map", value_parser = value::label)]
    aux_address: Vec<(String, String)>,
    /// Driver to manage the network
    #[arg(short, long, value_name = "string", default_value = "bridge")]
    driver: String,
    /// IPv4 or IPv6 gateway for the subnet
    #[arg(long, value_name = "list")]
    gateway: Vec<String>,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container IPs from a sub-range
    #[arg(long, value_name = "list")]
    ip_range: Vec<String>,
    /// Enable or disable IPv6 address assignment
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "bool")]
    ipv6: Option<bool>,
    /// Set metadata on a network
    #[arg(long, value_name = "list", value_parser = value::label)]
    label: Vec<(String, String)>,
    /// Set driver specific options (com.docker.network.driver.mtu)
    #[arg(short, long, value_name = "map", value_parser = value::label)]
    opt: Vec<(String, String)>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "list")]
    subnet: Vec<String>,
    #[arg(required = true, value_name = "NETWORK")]
    name: String,
}

/// Prints its ID.
pub(crate) async fn create(args: CreateArgs, cx: &Context) -> Outcome {
    let wish = NetworkWish {
        name: args.name,
        driver: args.driver,
        subnets: args.subnet,
        gateways: args.gateway,
        ranges: args.ip_range,
        reserved: args.aux_address.into_iter().collect(),
        ipv6: args.ipv6,
        internal: args.internal,
        labels: args.label.into_iter().collect(),
        options: args.opt.into_iter().collect(),
    };
    let (id, warnings) = cx.client().await?.create_network(wish).await?;
    for warning in warnings {
        cx.ui.warning(&warning);
    }
    cx.ui.line(&id)?;
    Ok(())
}

/// List networks
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    filter: Vec<(String, String)>,
    /// Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

/// A row.
const ROW: Struct = Struct { name: "*formatter.networkContext", fields: &[] };

const TITLES: &[(&str, &str)] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

/// Letters of a short ID.
const SHORT: usize = 12;

/// Lists networks by name.
pub(crate) async fn list(args: ListArgs, cx: &Context) -> Outcome {
    let networks = cx.client().await?.networks(value::filters(&args.filter)).await?;
    let id = |network: &NetworkSummary| match args.no_trunc {
        true => network.id.clone(),
        false => network.id.chars().take(SHORT).collect(),
    };
    if args.quiet && args.format.is_none() {
        for network in &networks {
            cx.ui.line(&id(network))?;
        }
        return Ok(());
    }
    let rows = networks.iter().map(|network| row(network, id(network))).collect();
    let columns = Columns {
        row: &ROW,
        titles: TITLES,
        shown: vec!["ID", "Name", "Driver", "Scope"],
        raw: vec![("network_id", "ID"), ("name", "Name"), ("driver", "Driver"), ("scope", "Scope")],
    };
    let text = listing::render(&columns, args.format.as_deref(), rows).map_err(CommandError::failed)?;
    cx.ui.data(text.as_bytes())?;
    Ok(())
}

fn row(network: &NetworkSummary, id: String) -> Row {
    let created = network.created.map(|created| moment::long(created, &moment::zone())).unwrap_or_default();
    let fields = json!({
        "CreatedAt": created,
        "Driver": network.driver,
        "ID": id,
        "IPv4": network.has_ipv4().to_string(),
        "IPv6": network.has_ipv6().to_string(),
        "Internal": network.internal.to_string(),
        "Labels": listing::labels(&network.labels),
        "Name": network.name,
        "Scope": "local",
    });
    Row { fields, labels: json!(network.labels) }
}

/// Display detailed information on one or more networks
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    format: FormatFlag,
    #[arg(required = true, value_name = "NETWORK")]
    names: Vec<String>,
}

/// Prints the networks that were found, even when another one was not.
pub(crate) async fn inspect(args: InspectArgs, cx: &Context) -> Outcome {
    let mut printer = Printer::new(args.format.format.as_deref())?;
    let client = cx.client().await?;
    let mut failures = Vec::new();
    for name in &args.names {
        match document(client, name).await {
            Ok(document) => {
                if let Err(error) = printer.add(document, docker::Network::SHAPE) {
                    failures.push(error.to_string());
                }
            }
            Err(error) => failures.push(daemon_text(&error)),
        }
    }
    printer.end(&failures, cx)
}

/// Docker's document of one network.
pub(crate) async fn document(client: &Client, name: &str) -> Result<Value, ClientError> {
    let network = docker::Network::from(client.inspect_network(name).await?);
    Ok(docker::value(&network))
}

/// Remove one or more networks
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Do not error if the network does not exist
    #[arg(short, long)]
    force: bool,
    #[arg(required = true, value_name = "NETWORK")]
    names: Vec<String>,
}

/// Removes all named networks.
pub(crate) async fn remove(args: RemoveArgs, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    parallel::each(&cx.ui, &args.names, |name| async move {
        match client.remove_network(&name).await {
            Ok(()) => Ok(Some(name)),
            Err(error) if is_missing(&error) && args.force => Ok(None),
            Err(error) => Err(CommandError::failed(daemon_text(&error))),
        }
    })
    .await
}

/// Connect a container to a network
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectArgs {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    alias: Vec<String>,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long, value_name = "ip", value_parser = kinds::ipv4)]
    ip: Option<Ipv4Addr>,
    /// IPv6 address (e.g., "2001:db8::33")
    #[arg(long, value_name = "ip", value_parser = kinds::ipv6)]
    ip6: Option<Ipv6Addr>,
    /// Add link to another container
    #[arg(long, value_name = "list", value_parser = kinds::link)]
    link: Vec<String>,
    /// Hardware address of the container there (e.g., "92:d0:c6:0a:29:33")
    #[arg(long, value_name = "string", value_parser = kinds::mac)]
    mac_address: Option<Mac>,
    #[arg(required = true, value_name = "NETWORK")]
    network: String,
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

/// Prints nothing.
pub(crate) async fn connect(args: ConnectArgs, cx: &Context) -> Outcome {
    let place = EndpointSpec {
        network: args.network,
        address: args.ip,
        address_6: args.ip6,
        mac: args.mac_address,
        aliases: args.alias,
        links: args.link,
    };
    cx.client().await?.connect_network(&args.container, place).await?;
    Ok(())
}

/// Disconnect a container from a network
#[derive(Debug, clap::Args)]
pub(crate) struct DisconnectArgs {
    /// Do not error if the container or the network does not exist
    #[arg(short, long)]
    force: bool,
    #[arg(required = true, value_name = "NETWORK")]
    network: String,
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

/// Prints nothing.
pub(crate) async fn disconnect(args: DisconnectArgs, cx: &Context) -> Outcome {
    match cx.client().await?.disconnect_network(&args.network, &args.container).await {
        Err(error) if is_missing(&error) && args.force => Ok(()),
        done => Ok(done?),
    }
}
