// An app as FusionAuth's guide to its React SDK has it: nothing in it knows Vestibule.
import { createRoot } from 'react-dom/client';
import {
  FusionAuthLoginButton,
  FusionAuthLogoutButton,
  FusionAuthProvider,
  FusionAuthRegisterButton,
  RequireAuth,
  Unauthenticated,
  useFusionAuth,
} from '@fusionauth/react-sdk';

// For the test to look at.
const seen = { redirected: [], refreshed: [], failed: [] };
globalThis.seen = seen;

const config = {
  clientId: 'shop',
  serverUrl: location.origin,
  redirectUri: `${location.origin}/`,
  scope: 'openid offline_access',
  shouldAutoFetchUserInfo: true,
  shouldAutoRefresh: true,
  autoRefreshSecondsBeforeExpiry: 24,
  onRedirect: (state) => seen.redirected.push(state ?? null),
  onAutoRefreshFailure: (error) => seen.failed.push(error.message),
};

function User() {
  const { userInfo, error, refreshToken } = useFusionAuth();
  const refresh = () => refreshToken().then((response) => seen.refreshed.push(response.status));
  return (
    <section>
      <p id="user">{userInfo?.name}</p>
      <p id="claims">{JSON.stringify(userInfo)}</p>
      <p id="error">{error?.message}</p>
      <button id="refresh" onClick={refresh}>
        Refresh
      </button>
      <FusionAuthLogoutButton className="logout" />
    </section>
  );
}

createRoot(document.getElementById('app')).render(
  <FusionAuthProvider {...config}>
    <main>
      <h1>An app with FusionAuth's React SDK</h1>
      <Unauthenticated>
        <FusionAuthLoginButton className="login" state="orders of 1 & 2" />
        <FusionAuthRegisterButton className="register" state="new" />
      </Unauthenticated>
      <RequireAuth>
        <User />
      </RequireAuth>
    </main>
  </FusionAuthProvider>,
);
