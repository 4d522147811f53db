// Which cores are used, and how they are dealt out; on described machines rather than on this one.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/log.h"
#include "device/cpu/cgroup.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/cpu_topology.h"
#include "tests/device/fake_system.h"

namespace fastchat::device {
namespace {

using test::FakeSystem;
using Cores = std::vector<int>;

void add_core(FakeSystem& system, int core, int package, const std::string& siblings) {
  const std::string folder = fmt::format("/sys/devices/system/cpu/cpu{}/topology/", core);
  system.write(folder + "physical_package_id", fmt::format("{}\n", package));
  system.write(folder + "thread_siblings_list", siblings + "\n");
}

TEST(CpuTopology, TakesOneHardwareThreadOfEachCoreAndKeepsSocketsTogether) {
  FakeSystem system;  // two sockets, numbered alternately, threads 0-3 and their siblings 4-7
  for (int core = 0; core < 8; ++core)
    add_core(system, core, core % 2, fmt::format("{},{}", core % 4, core % 4 + 4));
  EXPECT_EQ(one_per_physical_core({0, 1, 2, 3, 4, 5, 6, 7}, system.root()), (Cores{0, 2, 1, 3}));
  EXPECT_EQ(one_per_physical_core({3, 4, 5, 7}, system.root()), (Cores{4, 3, 5}));
}

TEST(CpuTopology, KeepsCoresThatNobodyDescribes) {
  const FakeSystem system;
  EXPECT_EQ(one_per_physical_core({2, 5}, system.root()), (Cores{2, 5}));
}

TEST(CpuTopology, DealsContiguousRunsAndSharesWhenThereAreTooFew) {
  EXPECT_EQ(deal_cores({0, 1, 2, 3, 4}, 2), (std::vector<Cores>{{0, 1}, {2, 3, 4}}));
  EXPECT_EQ(deal_cores({4, 5, 6}, 3), (std::vector<Cores>{{4}, {5}, {6}}));
  EXPECT_EQ(deal_cores({4, 5}, 4), (std::vector<Cores>{{4}, {4}, {5}, {5}}));
  EXPECT_EQ(deal_cores({7}, 3), (std::vector<Cores>{{7}, {7}, {7}}));
}

TEST(CpuTopology, RespectsTheQuotaOfEitherCgroupVersionRoundedDown) {
  FakeSystem system;
  EXPECT_FALSE(usable_cores({0, 1, 2, 3}, system.root()).limited_by_quota);

  system.write("/proc/self/cgroup", "0::/pod/app\n");
  system.write("/proc/self/mountinfo",
               "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n");
  system.write("/sys/fs/cgroup/pod/app/cpu.max", "max 100000\n");
  EXPECT_EQ(usable_cores({0, 1, 2, 3}, system.root()).cores.size(), 4U);
  system.write("/sys/fs/cgroup/pod/cpu.max", "250000 100000\n");
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(system.root()).value_or(0), 2.5);
  EXPECT_EQ(usable_cores({0, 1, 2, 3}, system.root()).cores, (Cores{0, 1}));
  EXPECT_TRUE(usable_cores({0, 1, 2, 3}, system.root()).limited_by_quota);
  EXPECT_FALSE(usable_cores({0, 1}, system.root()).limited_by_quota);
  system.write("/sys/fs/cgroup/pod/app/cpu.max", "50000 100000\n");
  EXPECT_EQ(usable_cores({2, 3}, system.root()).cores, (Cores{2}));

  FakeSystem older;  // version 1, the group's own folder mounted as in a container
  older.write("/proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n");
  older.write("/proc/self/mountinfo",
              "33 25 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup "
              "rw,cpu,cpuacct\n");
  older.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
  older.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(older.root()).value_or(0), 3.0);
  older.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  EXPECT_FALSE(cgroup_cpu_quota(older.root()).has_value());
}

TEST(CpuTopology, NamesTheProcessor) {
  FakeSystem intel;
  intel.write("/proc/cpuinfo",
              "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Gold\ncpu MHz : 2\n");
  EXPECT_EQ(cpu_model_name(intel.root()), "Intel(R) Xeon(R) Gold");
  FakeSystem kunpeng;
  kunpeng.write("/proc/cpuinfo",
                "CPU implementer\t: 0x48\nCPU variant\t: 0x1\nCPU part\t: 0xd01\n");
  EXPECT_EQ(cpu_model_name(kunpeng.root()), "Kunpeng-920 (TaiShan v110)");
  FakeSystem unknown;
  unknown.write("/proc/cpuinfo", "CPU implementer\t: 0x99\nCPU part\t: 0x001\nempty :\n");
  EXPECT_NE(cpu_model_name(unknown.root()).find("0x99/0x001"), std::string::npos);
  EXPECT_FALSE(cpu_model_name(FakeSystem().root()).empty());
}

TEST(CpuTopology, WritesListsOfCoresAsRanges) {
  EXPECT_EQ(format_cores({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
  EXPECT_EQ(format_cores({5}), "5");
}

TEST(CpuTopology, ReadsListsOfCores) {
  EXPECT_EQ(parse_cores("0-3,8,10-11\n"), (Cores{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_cores(""), Cores{});
  EXPECT_EQ(parse_cores("x,2,5-x,3-1,0-99999999"), (Cores{2}));
}

TEST(CpuTopology, FindsTheUsableCoresOfACardsNumaNode) {
  FakeSystem system;
  system.write("/sys/bus/pci/devices/0000:c1:00.0/numa_node", "1\n");
  system.write("/sys/devices/system/node/node0/cpulist", "0-3,8-11\n");
  system.write("/sys/devices/system/node/node1/cpulist", "4-7,12-15\n");
  const Cores allowed = {2, 3, 4, 5, 12};  // as a container's cpuset leaves them
  EXPECT_EQ(cores_near("0000:c1:00.0", allowed, system.root()), (Cores{4, 5, 12}));
  EXPECT_EQ(cores_near("0000:c1:00.0", {0, 1}, system.root()), Cores{}) << "none is allowed";
  EXPECT_EQ(cores_near("0000:c2:00.0", allowed, system.root()), Cores{}) << "not described";
  EXPECT_EQ(cores_near("", allowed, system.root()), Cores{}) << "no address";
  system.write("/sys/bus/pci/devices/0000:c1:00.0/numa_node", "-1\n");  // as in most guests
  EXPECT_EQ(cores_near("0000:c1:00.0", allowed, system.root()), Cores{});
}

TEST(CpuPlatform, UsesTheCoresItIsGiven) {
  const int core = affinity_cores().back();
  const auto platform = create_cpu_platform({.cores = {core}, .memory_limits_bytes = {1024}});
  EXPECT_EQ(platform->describe(0).physical_index, core);
  EXPECT_EQ(static_cast<CpuDevice&>(*platform->open(0)).num_threads(), 1);
  EXPECT_THROW(create_cpu_platform({.cores = {1 << 15}}), Failure);
  EXPECT_THROW(create_cpu_platform({.cores = {-1}}), Failure);
  EXPECT_THROW(create_cpu_platform({.cores = {core, core}}), Failure);
  EXPECT_THROW(create_cpu_platform({.num_devices = 0}), Failure);
}

TEST(CpuPlatform, EachDeviceKeepsItsOwnLimit) {
  log::set_sink([](log::Level, std::string_view) {});  // sharing cores is expected here
  const auto platform =
      create_cpu_platform({.num_devices = 3, .memory_limits_bytes = {4096, 1 << 20, 8192}});
  const auto small = platform->open(0), large = platform->open(1);
  EXPECT_THROW(small->allocate(4160, "weights"), OutOfMemory);
  EXPECT_EQ(large->allocate(1 << 20, "weights").size_bytes(), std::size_t{1} << 20);
  EXPECT_EQ(platform->memory(2).total_bytes, 8192u);
  EXPECT_THROW(create_cpu_platform({.num_devices = 3, .memory_limits_bytes = {1, 2}}), Failure);
}

TEST(CpuPlatform, WarnsOnceWhenDevicesShareCores) {
  int num_warnings = 0;
  log::set_sink(
      [&](log::Level level, std::string_view) { num_warnings += level == log::Level::warn; });
  const int core = affinity_cores().front();
  static_cast<void>(create_cpu_platform({.num_devices = 1, .cores = {core}}));
  EXPECT_EQ(num_warnings, 0);
  const auto platform = create_cpu_platform({.num_devices = 5, .cores = {core}});
  for (int index = 0; index < 5; ++index) static_cast<void>(platform->open(index));
  EXPECT_EQ(num_warnings, 1);
  log::set_sink([](log::Level, std::string_view) {});
}

}  // namespace
}  // namespace fastchat::device
