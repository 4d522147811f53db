// Numbers that leave the range of f16 are found before the first answer.
#include "tests/demo/answers.h"
#include "tests/demo/overflow_folder.h"

namespace fastchat::demo_test {
namespace {

TEST(Overflow, IsFoundAtStartNamingTheLayer) {
  const OverflowFolder folder;
  for (const int num_devices : {1, 2}) {
    serve::ModelOptions options = demo_options(num_devices, "float16");
    options.model_path = folder.path();
    try {
      const serve::ModelInstance model(options, {});
      FAIL() << "did not throw";
    } catch (const Failure& failure) {
      const std::string what = failure.what();
      EXPECT_NE(what.find("MLP of layer " + std::to_string(OverflowFolder::kLayer)),
                std::string::npos)
          << what;
      EXPECT_NE(what.find("--dtype bfloat16"), std::string::npos) << what;
    }
  }
}

TEST(Overflow, Bf16HasRoomAndSoHasTheDemoModelItselfInF16) {
  const OverflowFolder folder;
  serve::ModelOptions options = demo_options(1, "bfloat16");
  options.model_path = folder.path();
  EXPECT_NO_THROW(serve::ModelInstance(options, {}));
  EXPECT_NO_THROW(serve::ModelInstance(demo_options(2, "float16"), {}));
}

}  // namespace
}  // namespace fastchat::demo_test
