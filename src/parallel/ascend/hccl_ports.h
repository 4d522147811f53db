// Ports through which the communicators of this process find each other on this host.
#pragma once

#include <optional>
#include <string>

namespace fastchat::parallel {

/// HCCL listens on one of this many consecutive ports per communicator.
inline constexpr int kNumHcclPorts = 32;

/// The first of kNumHcclPorts consecutive ports, from `first` on in steps of as many, that nobody
/// listens on; nothing where there are none up to 65535.
std::optional<int> find_free_ports(int first);

/// Sets HCCL_IF_BASE_PORT to ports that are free, where the environment leaves the choice to us:
/// two services on one host do not meet on the default ones. Before the first communicator. Throws
/// Failure naming the ports where those that the environment asks for are taken.
void choose_hccl_ports();

}  // namespace fastchat::parallel
