#include "parallel/ascend/hccl_ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace fastchat::parallel {
namespace {

TEST(HcclPorts, ThoseOfAnotherServiceArePassedOver) {
  const std::optional<int> base = find_free_ports(41000);
  ASSERT_TRUE(base.has_value());
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_GE(listener, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(*base + kNumHcclPorts - 1));
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  const std::optional<int> next = find_free_ports(*base);
  close(listener);
  ASSERT_TRUE(next.has_value());
  EXPECT_GE(*next, *base + kNumHcclPorts);
}

TEST(HcclPorts, ThereAreNoneBeyondTheLast) { EXPECT_FALSE(find_free_ports(65536 - 31)); }

}  // namespace
}  // namespace fastchat::parallel
