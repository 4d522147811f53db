#include <array>
#include <utility>

#include <sys/vfs.h>

#include "model/safetensors_file.h"

namespace fastchat::model {

std::string_view network_file_system(std::uint32_t type) {
  // From the kernel's linux/magic.h, and the systems' own headers where they live outside of it.
  constexpr std::array<std::pair<std::uint32_t, std::string_view>, 14> kTypes{{
      {0x00006969, "nfs"},
      {0x0000517B, "smb"},
      {0xFF534D42, "cifs"},
      {0xFE534D42, "smb2"},
      {0x0BD00BD0, "lustre"},
      {0x65735546, "fuse"},  // glusterfs, sshfs, object stores, virtiofs
      {0x01021997, "9p"},
      {0x00C36400, "ceph"},
      {0x47504653, "gpfs"},
      {0x19830326, "beegfs"},
      {0xAAD7AAEA, "panfs"},
      {0x5346414F, "afs"},
      {0x6B414653, "afs"},
      {0x73757245, "coda"},
  }};
  for (const auto& [known, name] : kTypes)
    if (known == type) return name;
  return {};
}

std::string_view network_file_system(const std::string& path) {
  struct statfs status {};
  if (::statfs(path.c_str(), &status) != 0) return {};
  return network_file_system(static_cast<std::uint32_t>(status.f_type));
}

}  // namespace fastchat::model
